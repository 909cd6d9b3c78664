"""One browser and one server for all of it: the product as `manage.py serve` runs it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.scene import ADMIN, PASSWORD
from tests.processes import ROOT, Processes, environment

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

try:
    from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
except ImportError:  # where its driver has no wheel
    sync_playwright = None  # type: ignore[assignment]


def chromium() -> str | None:
    """Where the browser of the system is: none is downloaded."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the sample project with several providers, and a bad night in its database."""
    directory = tmp_path_factory.mktemp("browser")
    env = environment(f"sqlite:///{directory}/db.sqlite3", directory / "metrics")
    env["DJANGO_SETTINGS_MODULE"] = "tests.browser.settings"
    processes = Processes(directory)
    processes.manage(env, "migrate")
    scene = [sys.executable, "-m", "tests.browser.scene"]
    subprocess.run(scene, env=env, cwd=ROOT, check=True, capture_output=True, timeout=60)
    try:
        _, url = processes.serve(env)
        yield url
    finally:
        processes.close()


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    path = chromium()
    if sync_playwright is None:
        pytest.skip("playwright is not installed")
    if path is None:
        pytest.skip("chromium is not on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def session(browser: "Browser", server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cookies of an operator who has logged in once."""
    context = browser.new_context(base_url=server)
    page = context.new_page()
    page.goto("/admin/")
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Dashboard").first.wait_for()
    path = tmp_path_factory.mktemp("session") / "state.json"
    context.storage_state(path=path)
    context.close()
    return path


@pytest.fixture
def context(browser: "Browser", server: str, session: Path) -> Iterator["BrowserContext"]:
    made = browser.new_context(base_url=server, storage_state=session)
    made.set_default_timeout(20_000)
    yield made
    made.close()


@pytest.fixture
def page(context: "BrowserContext") -> "Page":
    """A page of somebody who has logged in; what it complains of fails the test."""
    return context.new_page()
