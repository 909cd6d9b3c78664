"""Known vulnerabilities of what is pinned, asked of PyPI's advisories: `make lint` runs it.

A vulnerability is a failure. Where the advisories cannot be had, that is none; but it is said, with
how many were not looked up, because nothing is known of those.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
SECONDS = 120

WAIVED: dict[str, str] = {}
"""Advisories that do not concern us, with the reason."""


def main(files: Sequence[str] = REQUIREMENTS, service: Sequence[str] = ()) -> int:
    """The exit code; `service` are options of pip-audit that name another one than PyPI."""
    try:
        found = parse(ask(files, service))
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return not_asked(f"{type(error).__name__}: the advisories cannot be reached")
    print(*told(found), sep="\n")
    unknown = [each["name"] for each in found if "skip_reason" in each]
    if unknown:
        not_asked(f"{len(unknown)} of {len(found)} were not found there: {', '.join(unknown[:5])}…")
    return 1 if told(found) else 0


def ask(files: Sequence[str], service: Sequence[str]) -> str:
    """What pip-audit says, as JSON; it says nothing that is JSON where it could not ask."""
    asked = [part for name in files for part in ("-r", name)]
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    waived = [part for id in WAIVED for part in ("--ignore-vuln", id)]
    command = [sys.executable, "-m", "pip_audit", *asked, *options, *waived, *service]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS).stdout


def parse(answer: str) -> list[dict[str, Any]]:
    """Each package with its `vulns`, or with a `skip_reason`."""
    return list(json.loads(answer)["dependencies"])


def told(found: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each vulnerability."""
    return [
        f"VULNERABLE: {each['name']} {each['version']}: {vulnerability['id']}, "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for each in found
        for vulnerability in each.get("vulns", ())
    ]


def not_asked(reason: str) -> int:
    line = "!" * 72
    print(f"{line}\nNOT AUDITED for known vulnerabilities: {reason}\n{line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
