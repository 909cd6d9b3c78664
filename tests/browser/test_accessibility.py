"""Each page as a whole, ours and Django's frame around it: axe has nothing serious against it.

The suite looks at one page of each kind; `make accessibility` at all that the index leads to.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.timeout(600)

INDEX = "/admin/notifications/"
LIST, JOBS, IMPORTS, TEMPLATES = (
    f"{INDEX}{name}/" for name in ("notification", "job", "import", "template")
)

KINDS = [
    INDEX,
    *(f"{INDEX}dashboard/{rest}" for rest in ("", "limit/")),
    f"{INDEX}dashboard/pause/?scope=provider&subject=smtp",
    *(f"{LIST}{rest}" for rest in ("", "export/")),
    *(f"{page}{rest}" for page in (JOBS, IMPORTS) for rest in ("", "add/")),
    f"{INDEX}suppression/import/",
    TEMPLATES,
]
"""One address of each kind; `_every` adds a row's own page to the lists that have one."""

LIKE_THESE = [
    *(f"{INDEX}dashboard/{rest}" for rest in ("?hours=24", "drain/")),
    f"{LIST}?status=failed",
    *(f"{INDEX}suppression/{rest}" for rest in ("", "add/")),
]

WITH_ROWS = (LIST, JOBS, IMPORTS, TEMPLATES)

SERIOUS = ("serious", "critical")

AT_ONCE = "* { transition: none !important }"
"""Else axe sees the colours on their way from one scheme to the other."""

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


def test_nothing_serious_is_found_and_no_page_is_wider_than_a_phone(page: Page) -> None:
    found = {}
    for name in _every(page):
        if told := _judged(page):
            found[name] = told
    assert found == {}


def test_nothing_serious_is_found_on_the_login(browser: Browser, server: str) -> None:
    context = browser.new_context(base_url=server)
    page = context.new_page()
    page.goto("/admin/")
    assert _judged(page) == []
    context.close()


def _every(page: Page) -> Iterator[str]:
    """Has the page open whose name it gives."""
    more = [*LIKE_THESE, *_of_the_index(page)] if os.environ.get("ALL_PAGES") else []
    known = [*KINDS, *more]
    for url in dict.fromkeys(known):
        page.goto(url)
        yield url
    with_rows = known if os.environ.get("ALL_PAGES") else WITH_ROWS
    for url in dict.fromkeys(with_rows):
        page.goto(url)
        for row in _links(page, "#result_list tbody th a")[:1]:
            page.goto(row)
            yield f"a row of {url}"
    yield from _behind_buttons(page)


def _of_the_index(page: Page) -> list[str]:
    page.goto(INDEX)
    return _links(page, ".app-notifications.module a")


def _behind_buttons(page: Page) -> Iterator[str]:
    """What a form leads to, and has no address of its own."""
    page.goto(TEMPLATES)
    page.goto(_links(page, "#result_list tbody th a")[0].replace("change/", "preview/"))
    page.get_by_role("button", name="Show").click()
    yield "a preview"
    page.goto(f"{LIST}?status=unknown")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("button", name="Retry").click()
    yield "the question before a retry"


def _links(page: Page, selector: str) -> list[str]:
    found = page.eval_on_selector_all(selector, "all => all.map(a => a.getAttribute('href'))")
    return list(dict.fromkeys(found))


def _judged(page: Page) -> list[str]:
    """What is wrong with the page that is open: light on a desk, and dark on a phone."""
    page.evaluate(Axe().axe_script)
    page.add_style_tag(content=AT_ONCE)
    told = []
    for scheme, size in (("light", DESK), ("dark", PHONE)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
        page.set_viewport_size(size)
        results: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        told += [f"{scheme}: {_told(v)}" for v in results["violations"] if v["impact"] in SERIOUS]
    width = page.evaluate("document.documentElement.scrollWidth")
    return [*told, *([f"{width} wide"] if width > PHONE["width"] else ())]


def _told(violation: dict[str, Any]) -> str:
    nodes = violation["nodes"]
    return f"{violation['id']}: {nodes[0]['html'][:150]}, and {len(nodes) - 1} more"
