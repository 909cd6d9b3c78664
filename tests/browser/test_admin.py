"""An operator's night, in a real browser, on the product as it is run."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import BrowserContext, Page, expect

DASHBOARD = "/admin/notifications/dashboard/"
LIST = "/admin/notifications/notification/"
IMPORTS = "/admin/notifications/import/"

pytestmark = pytest.mark.timeout(180)

expect.set_options(timeout=20_000)  # the dashboard looks anew every five seconds


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """What the browser's console says against the page, which must be nothing."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda m: found.append(m.text) if m.type == "error" else None)
    yield found
    assert [text for text in found if "404" not in text] == []  # there is no favicon


def send(context: BrowserContext, key: str, **fields: Any) -> str:
    """Send one over the API; its id."""
    data = {"channel": "webhook", "to": "https://example.com/hook", "payload": {}, **fields}
    headers = {"Authorization": f"Bearer {key}"}
    answer = context.request.post("/notify", data=data, headers=headers)
    assert answer.status == 202, answer.text()
    return str(answer.json()["id"])


@pytest.fixture
def key(page: Page) -> str:
    """A key of a tenant that nothing holds up, made in the admin."""
    page.goto("/admin/notifications/apikey/add/")
    page.locator("[name=tenant]").select_option(label="shop")
    page.get_by_role("button", name="Save", exact=True).click()
    return page.locator(".notification-token").inner_text().strip()


def open_page(page: Page, id: str) -> None:
    page.goto(f"{LIST}{id}/change/")


def wait_for_status(page: Page, id: str, status: str) -> None:
    wait_for(page, id, ".notification-now .notification-status", status)


def wait_for(page: Page, id: str, part: str, text: str) -> None:
    """Look at it again and again until a part of its page has the text."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        open_page(page, id)
        if text in page.locator(part).inner_text():
            return
        page.wait_for_timeout(250)
    raise AssertionError(f"it did not come to {text}: {page.locator('.nd').inner_text()}")


def titles(page: Page) -> list[str]:
    return page.locator(".notification-timeline strong").all_inner_texts()


def test_the_dashboard_says_first_what_is_wrong_and_stays_up_to_date(
    page: Page, complaints: list[str]
) -> None:
    page.goto(DASHBOARD)
    verdict = page.locator(".nd-verdict")
    expect(verdict).to_contain_text("The circuit of ses is open")
    expect(verdict).to_contain_text("Tenant bakery is paused: asked to wait")
    expect(page.locator(".nd-plot canvas")).to_have_count(5)
    table = page.locator("figure[data-chart=accepted] details")
    table.locator("summary").click()
    said = page.locator("#nd-updated").inner_text()
    expect(page.locator("#nd-updated")).not_to_have_text(said)
    expect(table.locator("table")).to_be_visible()  # an update leaves open what was opened
    page.get_by_role("button", name="Stop updates").click()
    expect(page.get_by_role("button", name="Go on updating")).to_be_visible()


def test_one_is_watched_from_the_api_to_its_recipient(
    page: Page, context: BrowserContext, key: str
) -> None:
    id = send(context, key, metadata={"simulate": "transient,deliver"})
    wait_for_status(page, id, "delivered")
    told = titles(page)
    assert told[:3] == [
        "Accepted",
        "Attempt 1 at webhook: transient",
        "Attempt 2 at webhook: accepted",
    ]
    assert "Receipt of webhook: delivered" in told
    assert "https://example.com/hook" not in page.content()
    page.get_by_role("button", name="Reveal the recipient").click()
    expect(page.locator(".notification-token")).to_have_text("https://example.com/hook")
    open_page(page, id)
    assert "admin" in titles(page)


def test_a_paused_provider_keeps_its_rows_which_say_why_and_go_on_afterwards(
    page: Page, context: BrowserContext, key: str
) -> None:
    page.goto(DASHBOARD)
    page.get_by_role("link", name="Pause webhook").click()
    page.get_by_label("Reason").fill("they asked us to")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".nd-verdict")).to_contain_text(
        "Provider webhook is paused: they asked us to"
    )
    page.wait_for_timeout(1100)  # so long other threads may go by what they have read
    id, unwanted = (send(context, key) for _ in range(2))
    wait_for(page, id, ".notification-now", "provider webhook is paused")
    open_page(page, unwanted)
    page.get_by_label("Reason, for the log").fill("sent by mistake")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".notification-now .notification-status")).to_have_text("cancelled")
    expect(page.locator(".notification-timeline")).to_contain_text("Cancelled: sent by mistake")
    page.goto(DASHBOARD)
    expect(page.locator("[data-part=reasons]")).to_contain_text("provider webhook is paused")
    page.locator(".nd-verdict li", has_text="webhook").get_by_role("link", name="Resume").click()
    page.get_by_label("Reason").fill("they are ready")
    page.get_by_role("button", name="Resume").click()
    wait_for_status(page, id, "delivered")
    page.goto(DASHBOARD)
    expect(page.locator("[data-part=log]")).to_contain_text("Resumed: they are ready")


def test_what_failed_is_retried_and_what_is_unknown_only_after_a_question(
    page: Page, context: BrowserContext, key: str
) -> None:
    failed = send(context, key, metadata={"simulate": "reject,deliver"})
    wait_for_status(page, failed, "failed")
    page.get_by_label("Reason, for the log").fill("fixed")
    page.get_by_role("button", name="Retry").click()
    wait_for_status(page, failed, "delivered")
    assert titles(page).count("admin") == 1
    page.goto(f"{LIST}?status=unknown&channel__exact=sms")
    page.locator("#result_list th a").first.click()
    unknown = page.url.split("/")[-3]
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("may get the message twice")).to_be_visible()
    page.get_by_role("button", name=re.compile("duplicates are possible")).click()
    wait_for_status(page, unknown, "delivered")


def test_many_are_retried_by_a_job_whose_progress_is_shown(page: Page) -> None:
    page.goto(f"{LIST}?status=failed&channel__exact=email")
    page.get_by_role("link", name="Retry or cancel many").click()
    page.locator("[name=reason]").fill("the outage is over")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#job")).to_have_text("Done, 100 %")
    expect(page.locator(".nd-facts")).to_contain_text("the outage is over")


def test_a_file_is_checked_and_then_imported_with_its_bad_row_shown(page: Page) -> None:
    page.goto(f"{IMPORTS}add/")
    page.get_by_label("Tenant").select_option(label="shop")
    rows = "channel,to,payload\nwebhook,https://example.com/hook,1\nwebhook,nobody,1\n"
    file = {"name": "rows.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    page.get_by_label("File").set_input_files(file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Upload").press("Enter")
    expect(page.locator("#job")).to_have_text("Done, 100 %")
    expect(page.get_by_role("region", name="Rejected rows")).to_contain_text("3to")
    expect(page.locator(".nd-facts")).to_contain_text("would be accepted1")
    page.get_by_role("button", name="Import it for real").press("Enter")
    expect(page.get_by_role("link", name="What became of them")).to_be_visible()
    expect(page.locator("#job")).to_have_text("Done, 100 %")
    expect(page.locator(".nd-facts")).to_contain_text("accepted1")


def test_everything_is_reached_by_the_keyboard(page: Page) -> None:
    page.goto(DASHBOARD)
    page.get_by_role("button", name="Stop updates").focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim()"))
    assert {"Top errors", "Resume", "Table of Accepted", "Pause smtp", "Drain …"} <= reached
