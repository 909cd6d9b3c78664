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


def run(env: Mapping[str, str], *names: str) -> None:
    files = [str(HERE / name) for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *files, *OPTIONS],
        env={**os.environ, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=220,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout


OPTIONS = ("-q", "-p", "no:cacheprovider", "--nomigrations", "--ds", "tests.moving.settings")


def test_the_import_from_post_office_and_the_guides() -> None:
    run({"TEST_DB": "sqlite"}, "inside_post_office.py", "inside_guides.py")


@pytest.mark.long
def test_the_import_from_post_office_on_postgresql(postgres_url: str) -> None:
    env = {"TEST_DB": "postgres", "TEST_DATABASE_URL": postgres_url}
    run(env, "inside_post_office.py")
