"""`make matrix`: the jobs of noxfile.py that this machine can run, one at a time, and a table.

make matrix                      all of them
make matrix ARGS="--quick"       a handful, on a part of the suite
make matrix ARGS="-k 6.1"        those whose name holds this; --list only names them
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ROOT

LOGS = ROOT / "var" / "matrix"

QUICK_JOBS = (("tests", "3.13", "6.1", "sqlite"), ("lowest", "sqlite"), ("bare", "3.11"))
"""What the names of the quick ones hold."""

QUICK_TESTS = (
    "tests/pipeline/test_accept.py",
    "tests/pipeline/test_deliver.py",
    "tests/providers/test_django_email.py",
    "tests/testing/test_testing.py",
    "tests/test_checks.py",
    "tests/test_project_checks.py",
)

COUNTS = re.compile(r"^=*\s*(\d+ (?:passed|failed|error).*?) in [\d.]+s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    python: str


@dataclass(frozen=True, slots=True)
class Result:
    job: Job
    outcome: str
    seconds: float
    detail: str


def main() -> int:
    options = _options()
    jobs = [job for job in _jobs() if _is_wanted(job, options)]
    if options.list:
        _say("\n".join(job.name for job in jobs))
        return 0
    LOGS.mkdir(parents=True, exist_ok=True)
    results = []
    for number, job in enumerate(jobs, 1):
        _say(f"[{number}/{len(jobs)}] {job.name} ...", end=" ")
        results.append(_run(job, QUICK_TESTS if options.quick else ()))
        _say(_told(results[-1]))
    _say("\n" + _table(results))
    return int(any(result.outcome == "failed" for result in results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make matrix")
    parser.add_argument("--quick", action="store_true", help="three jobs, a part of the suite")
    parser.add_argument("--list", action="store_true", help="only name the jobs")
    parser.add_argument("-k", default="", metavar="TEXT", help="jobs whose name holds TEXT")
    return parser.parse_args()


def _jobs() -> list[Job]:
    listed = subprocess.run(
        [*_nox(), "--list-sessions", "--json"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found = json.loads(listed.stdout)
    return [Job(job["session"], job["python"] or _python(job["session"])) for job in found]


def _python(name: str) -> str:
    """The Python that the name of a job tells of."""
    version = re.search(r"(?:python|version)='([\d.]+)'", name)
    return version[1] if version else ""


def _is_wanted(job: Job, options: argparse.Namespace) -> bool:
    is_quick = any(all(part in job.name for part in parts) for parts in QUICK_JOBS)
    return options.k in job.name and (is_quick or not options.quick)


def _run(job: Job, tests: Sequence[str]) -> Result:
    if job.python and not shutil.which(f"python{job.python}", path=_environment()["PATH"]):
        return Result(job, "not run", 0.0, f"there is no python{job.python} on this machine")
    log = LOGS / (re.sub(r"[^\w.]+", "-", job.name).strip("-") + ".log")
    takes_tests = job.name.startswith(("tests", "lowest"))
    began = time.monotonic()
    with log.open("w") as output:
        done = subprocess.run(
            [*_nox(), "-s", job.name, *(["--", *tests] if tests and takes_tests else [])],
            cwd=ROOT,
            env=_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    seconds = time.monotonic() - began
    counts = COUNTS.findall(log.read_text(errors="replace"))
    if done.returncode == 0:
        return Result(job, "ok", seconds, counts[-1] if counts else "")
    detail = (counts[-1] + ", " if counts else "") + f"see {log.relative_to(ROOT)}"
    return Result(job, "failed", seconds, detail)


def _nox() -> list[str]:
    return [sys.executable, "-m", "nox", "--noxfile", str(ROOT / "noxfile.py")]


def _environment() -> dict[str, str]:
    """With the Pythons of pyenv on the path, whose own commands there may be shims without one.

    Hundreds of processes are started: none is to compile anew what another has compiled.
    """
    found = sorted(Path.home().glob(".pyenv/versions/3.1[1-9]*/bin"))
    path = [str(ROOT / ".venv" / "bin"), *map(str, found), os.environ["PATH"]]
    return os.environ | {"PATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": ""}


def _told(result: Result) -> str:
    return f"{result.outcome}, {result.seconds:.0f} s {result.detail}".rstrip()


def _table(results: Sequence[Result]) -> str:
    width = max((len(result.job.name) for result in results), default=0)
    rows = [f"{'job':<{width}}  outcome  seconds  tests"]
    for found in results:
        row = (
            f"{found.job.name:<{width}}  {found.outcome:<7}  {found.seconds:>7.0f}  {found.detail}"
        )
        rows.append(row.rstrip())
    return "\n".join(rows)


def _say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
