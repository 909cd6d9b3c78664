"""Moving over from other packages: the tests beside this, in a project that has these packages."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.processes import ROOT

HERE = Path(__file__).parent


def run(name: str, env: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", str(HERE / name), "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--ds", "tests.moving.settings"],
        env={**os.environ, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout


def test_the_import_from_post_office() -> None:
    run("inside_post_office.py", {"TEST_DB": "sqlite"})


@pytest.mark.postgres
def test_the_import_from_post_office_on_postgresql(postgres_url: str) -> None:
    run("inside_post_office.py", {"TEST_DB": "postgres", "TEST_DATABASE_URL": postgres_url})
