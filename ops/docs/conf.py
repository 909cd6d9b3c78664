"""How Sphinx makes the site of the documentation: `make docs`.

The pages are plain markdown, as they are read in the repository. What stands in the lists of
`docs/README.md`, under its headings, is the navigation; a page in none of them is a warning, and
warnings are errors. Links to files that are no pages lead to copies of them. Nothing is loaded
from a network, neither when the site is made nor when it is read.
"""

import re

from sphinx.application import Sphinx

project = "Notifications"
html_title = "Notification delivery engine"
root_doc = "docs/README"
extensions = ["myst_parser"]
include_patterns = ["*.md", "docs/**.md", "bench/**.md", "examples/**.md"]
exclude_patterns = [".*", "var"]
source_suffix = {".md": "markdown"}

myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # examples have … where something is left out

html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_use_index = False
html_extra_path = ["root"]  # index.html leads to the front page

HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
LISTED = re.compile(r"^(?:-|\d+\.) \[[^]]+\]\(([^)#:]+)\.md\)", re.MULTILINE)


def add_navigation(_: Sphinx, name: str, source: list[str]) -> None:
    """Adds what a list of pages names as a tree of contents, with its headings as captions."""
    if name == "bench/README":
        source[0] += tree("", ["results/*"])
    if name in ("docs/README", "docs/decisions/README"):
        first, *parts = HEADING.split(source[0])
        sections = [("", first), *zip(parts[::2], parts[1::2], strict=True)]
        source[0] += "".join(tree(caption, LISTED.findall(text)) for caption, text in sections)


def tree(caption: str, pages: list[str]) -> str:
    options = ":hidden:\n:glob:\n" + (f":caption: {caption}\n" if caption else "")
    listed = "\n".join(pages)
    return f"\n\n```{{toctree}}\n{options}\n{listed}\n```\n" if pages else ""


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_navigation)
