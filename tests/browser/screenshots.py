"""`python -m tests.browser.screenshots` takes the pictures of the documentation anew."""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.processes import ROOT

from .stage import ADMIN, ARGUMENTS, PASSWORD, chromium, serving

IMAGES = ROOT / "docs" / "images"

PICTURES = {
    "dashboard": ("/admin/notifications/dashboard/", 1180),
    "notification": ("/admin/notifications/notification/{id}/change/", 760),
}
"""Each with its page, and how much of it is shown."""


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        serving(Path(directory), "--no-worker") as (url, id),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        page = browser.new_page(base_url=url, viewport={"width": 1100, "height": 800})
        page.goto("/admin/")
        page.get_by_label("Username").fill(ADMIN)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        for name, (address, height) in PICTURES.items():
            page.set_viewport_size({"width": 1100, "height": height})
            page.goto(address.format(id=id))
            page.wait_for_timeout(500)  # the charts are drawn
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
