"""The quickstart, followed to the letter with the built wheel; `make matrix` also installs it."""

import os
import sys
from pathlib import Path

import pytest

from tests.package.quickstart import follow


@pytest.fixture
def environment(tmp_path: Path, unpacked: Path) -> dict[str, str]:
    """Where `python` is this one, `django-admin` is beside it, and the wheel is on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("django-admin", "-m django ")):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        script.chmod(0o755)
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    path = f"{programs}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(unpacked), "PYTHONUNBUFFERED": "1"}


def test_who_follows_the_quickstart_gets_an_email(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    assert "Hello: It works." in follow(project, environment, wheel=None)
