"""The server that the browser looks at, and the browser: the system's own, none is downloaded."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import ROOT, Processes, environment

ADMIN, PASSWORD = "admin", "a-password-for-tests-only"

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """Where the browser of the system is: none is downloaded."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[tuple[str, str]]:
    """The URL of the sample project with the scene in its database; the id of its story."""
    env = environment(f"sqlite:///{directory}/db.sqlite3", directory / "metrics")
    env["DJANGO_SETTINGS_MODULE"] = "tests.browser.settings"
    processes = Processes(directory)
    processes.manage(env, "migrate")
    scene = [sys.executable, "-m", "tests.browser.scene"]
    made = subprocess.run(
        scene, env=env, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    try:
        _, url = processes.serve(env, *arguments)
        yield url, made.stdout.strip()
    finally:
        processes.close()
