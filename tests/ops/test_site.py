"""The site of the documentation: it is made without a warning, and loads nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

ELSEWHERE = r"(?:https?:)?//"
LOADED = (
    rf"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?{ELSEWHERE}[^>]*",
    rf"<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*{ELSEWHERE}[^>]*",
    rf"url\([\"']?{ELSEWHERE}[^)]*",
    rf"@import[^;]*{ELSEWHERE}[^;]*",
)


def make_site(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does, of the pages of a directory."""
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    command += ["--conf-dir", str(ROOT / "ops" / "docs"), "--doctree-dir", f"{target}-cache"]
    return subprocess.run(
        [*command, str(source), str(target)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_site_is_made_without_a_warning_and_is_whole_by_itself(tmp_path: Path) -> None:
    made = make_site(ROOT, tmp_path / "site")
    assert made.returncode == 0, made.stdout + made.stderr
    site = tmp_path / "site"
    [front] = re.findall(r"url=([^\"]+)", (site / "index.html").read_text())
    navigation = (site / front).read_text()
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert f'href="{page.stem}.html"' in navigation or page.stem == "README"
    for file in [f for kind in ("html", "css") for f in site.rglob(f"*.{kind}")]:
        for pattern in LOADED:
            assert re.findall(pattern, file.read_text()) == [], file


def test_a_link_that_leads_nowhere_and_a_page_that_no_list_names_are_errors(
    tmp_path: Path,
) -> None:
    pages = tmp_path / "pages" / "docs"
    pages.mkdir(parents=True)
    links = ("nowhere.md", "../lost.py", "other.md#no-heading", "#no-such-heading")
    text = "\n".join(f"[away]({link})" for link in links)
    (pages / "README.md").write_text(f"# Front\n\n[Other](other.md)\n\n{text}\n")
    (pages / "other.md").write_text("# Other\n")
    made = make_site(tmp_path / "pages", tmp_path / "site")
    assert made.returncode != 0
    for complaint in ("nowhere.md", "lost.py", "no-heading", "no-such-heading", "any toctree"):
        assert complaint in made.stderr
