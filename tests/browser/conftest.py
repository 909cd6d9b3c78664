"""One browser and one server for all of it: the product as `manage.py serve` runs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.stage import ADMIN, ARGUMENTS, PASSWORD, chromium, serving

try:
    from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
except ImportError:  # where its driver has no wheel
    sync_playwright = None  # type: ignore[assignment]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the sample project with several providers, and a bad night in its database."""
    with serving(tmp_path_factory.mktemp("browser")) as (url, _):
        yield url


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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
