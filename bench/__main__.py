"""`python -m bench [BENCHMARK ...] [--repeat N] [--quick]`"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from . import (
    accept,
    admin,
    cost,
    drain,
    embedded,
    fairness,
    growth,
    idle,
    imports,
    latency,
    limit,
    memory,
    relayed,
    report,
    slow,
    smtp,
)
from .stack import Stack

BENCHMARKS = {
    "accept": accept.run,
    "admin": admin.run,
    "cost": cost.run,
    "drain": drain.run,
    "embedded": embedded.run,
    "latency": latency.run,
    "relayed": relayed.run,
    "growth": growth.run,
    "limit": limit.run,
    "fairness": fairness.run,
    "idle": idle.run,
    "imports": imports.run,
    "memory": memory.run,
    "slow": slow.run,
    "smtp": smtp.run,
}
SECONDS = {
    "accept": (10, 25),
    "admin": (120, 10),
    "cost": (15, 20),
    "drain": (15, 25),
    "embedded": (5, 60),
    "latency": (100, 46),
    "relayed": (40, 28),
    "growth": (90, 40),
    "limit": (5, 42),
    "fairness": (5, 65),
    "idle": (15, 40),
    "imports": (400, 0),
    "memory": (75, 0),
    "slow": (10, 40),
    "smtp": (60, 120),
}
"""About how long each takes on two cores: once, and again for each round."""

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    names = options.benchmarks or list(BENCHMARKS)
    if not options.quick:
        print(_estimate(names, options.repeat), flush=True)
    command = shlex.join(["python", "-m", "bench", *(arguments or sys.argv[1:])])
    for name in names:
        rows, machine = _run(name, options.repeat, options.quick)
        tqdm.write(f"\n{report.table(rows)}\n", file=sys.stdout)
        if not options.quick:
            files = report.write(RESULTS, name, rows, machine, command)
            print(f"Written: {', '.join(f'bench/results/{file.name}' for file in files)}\n")


def _estimate(names: Sequence[str], repeat: int) -> str:
    minutes = {name: sum(_seconds(name, repeat)) / 60 for name in names}
    each = ", ".join(f"{name} {minutes[name]:.1f}" for name in names)
    return f"About {sum(minutes.values()):.0f} minutes: {each}."


def _seconds(name: str, repeat: int) -> tuple[float, float]:
    once, each_round = SECONDS.get(name, (30, 30))
    return once, each_round * repeat


def _run(name: str, repeat: int, quick: bool) -> tuple[list[report.Row], dict[str, Any]]:
    scratch = tempfile.TemporaryDirectory(prefix="notifications-bench-")
    with scratch as directory, Stack(Path(directory)) as stack:
        machine = report.machine(stack)
        return BENCHMARKS[name](stack, repeat, quick), machine


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=", ".join(BENCHMARKS))
    parser.add_argument("--repeat", type=int, default=3, help="times each side is measured")
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it works")
    options = parser.parse_args(arguments)
    if unknown := set(options.benchmarks) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if options.repeat < 1:
        parser.error("--repeat must be 1 or more")
    return options


if __name__ == "__main__":
    main()
