"""`make screenshots` takes the pictures of the documentation anew."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, sync_playwright

from tests.processes import ROOT

from .stage import ADMIN, ARGUMENTS, PASSWORD, chromium, serving

IMAGES = ROOT / "docs" / "images"

DASHBOARD = "/admin/notifications/dashboard/"
NOTIFICATION = "/admin/notifications/notification/{id}/change/"


@dataclass(frozen=True, slots=True)
class Picture:
    """A page, and how much of it is shown in which colours."""

    name: str
    address: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"


PICTURES = (
    Picture("dashboard", DASHBOARD, 1100, 1180),
    Picture("dashboard-dark", DASHBOARD, 1100, 700, "dark"),
    Picture("dashboard-phone", DASHBOARD, 390, 844),
    Picture("notification", NOTIFICATION, 1100, 760),
)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        serving(Path(directory), "--no-worker") as (url, id),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        page = browser.new_page(base_url=url)
        page.goto("/admin/")
        page.get_by_label("Username").fill(ADMIN)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        for picture in PICTURES:
            take(page, picture, id)
        browser.close()


def take(page: Page, picture: Picture, id: str) -> None:
    page.set_viewport_size({"width": picture.width, "height": picture.height})
    page.emulate_media(color_scheme=picture.scheme)
    page.goto(picture.address.format(id=id))
    page.wait_for_timeout(500)  # the charts are drawn
    page.screenshot(path=IMAGES / f"{picture.name}.png")


if __name__ == "__main__":
    main()
