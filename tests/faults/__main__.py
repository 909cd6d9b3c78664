"""`python -m tests.faults [SCENARIO ...] [--quick]`: plays scenarios, and shows what they came to.

Ends with 1 when a promise was broken.
"""

import argparse
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from tests.faults.lab import Lab
from tests.faults.scenarios import SCENARIOS, Size
from tests.faults.verdict import Verdict
from tests.servers import rabbitmq

COLUMNS = (
    "scenario", "faults", "accepted", "once", "duplicated", "lost", "unknown", "delivered",
    "ended", "stuck", "recovery s", "kept",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    directory = Path(tempfile.mkdtemp(prefix="notifications-faults-"))
    verdicts = _play(directory, options.scenarios or _playable(), Size(full=not options.quick))
    sys.stdout.write(f"\n{table(verdicts)}\n\n")
    for name, verdict in verdicts.items():
        for sentence in verdict.broken:
            sys.stdout.write(f"BROKEN in {name}: {sentence}\n")
    if any(verdict.broken for verdict in verdicts.values()):
        sys.stdout.write(f"What the processes wrote is in {directory}\n")
        return 1
    shutil.rmtree(directory)
    return 0


def table(verdicts: Mapping[str, Verdict]) -> str:
    """In Markdown; `delivered` says how many of the unknown really were."""
    lines = [COLUMNS, *(_cells(name, verdict) for name, verdict in verdicts.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def _cells(name: str, verdict: Verdict) -> tuple[str, ...]:
    figures = (
        verdict.faults, verdict.accepted, verdict.once, verdict.duplicated, verdict.lost,
        verdict.unknown, verdict.unknown_delivered, verdict.ended, verdict.stuck,
    )  # fmt: skip
    kept = "NO" if verdict.broken else "yes"
    return (name, *(f"{figure:,}" for figure in figures), f"{verdict.recovery:.1f}", kept)


def _play(directory: Path, names: Sequence[str], size: Size) -> dict[str, Verdict]:
    verdicts: dict[str, Verdict] = {}
    with tqdm(total=len(names), unit="scenario", bar_format=BAR, disable=None) as bar:
        lab = Lab(directory, lambda done, all: bar.set_postfix_str(f"{done:,} of {all:,}"))
        try:
            for name in names:
                bar.set_description(name)
                verdicts[name] = _verdict(lab, name, size)
                tqdm.write(f"{name}: {'BROKEN' if verdicts[name].broken else 'kept'}", sys.stderr)
                bar.update()
        finally:
            lab.close()
    return verdicts


BAR = "{n_fmt}/{total_fmt} |{bar:20}| {elapsed} {desc}{postfix}"


def _verdict(lab: Lab, name: str, size: Size) -> Verdict:
    try:
        return SCENARIOS[name](lab, size)
    except Exception as error:  # one that cannot be played must not hide what the others come to
        tqdm.write(f"{name}:\n{traceback.format_exc()}", file=sys.stderr)
        return Verdict(broken=[f"it was played to its end: {type(error).__name__}"])


def _playable() -> list[str]:
    if rabbitmq.is_installed():
        return list(SCENARIOS)
    sys.stderr.write("Without its scenarios, as rabbitmq-server is not on the PATH.\n")
    return [name for name in SCENARIOS if not name.startswith("rabbitmq")]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="small, to see that it works")
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
