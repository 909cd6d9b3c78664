"""`python -m bench [accept] [drain] [embedded] [--repeat N] [--quick]`"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from . import accept, cost, drain, embedded, report
from .stack import Stack

BENCHMARKS = {"accept": accept.run, "cost": cost.run, "drain": drain.run, "embedded": embedded.run}
RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    command = shlex.join(["python", "-m", "bench", *(arguments or sys.argv[1:])])
    for name in options.benchmarks or BENCHMARKS:
        rows, machine = _run(name, options.repeat, options.quick)
        tqdm.write(f"\n{report.table(rows)}\n", file=sys.stdout)
        if not options.quick:
            files = report.write(RESULTS, name, rows, machine, command)
            print(f"Written: {', '.join(f'bench/results/{file.name}' for file in files)}\n")


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
