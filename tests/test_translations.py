"""Every catalogue that is shipped is complete, and is what its text says."""

import gettext
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.template.loader import render_to_string
from django.utils.translation import override

from notifications.labels import CONTEXT
from notifications.models import Tenant
from tests.processes import ROOT

PACKAGE = ROOT / "notifications"
CATALOGUES = sorted(PACKAGE.glob("locale/*/LC_MESSAGES/django.po"))
MARKED = re.compile(r'{% translate "([^"]+)" context "notifications" %}')

language = pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parents[1].name)


def texts() -> Iterator[str]:
    """All that is shown in the language of the reader."""
    config = apps.get_app_config("notifications")
    with override(None):
        yield str(config.verbose_name)
        for model in config.get_models():
            yield from (str(model._meta.verbose_name), str(model._meta.verbose_name_plural))
            for field in model._meta.local_fields:
                yield str(field.verbose_name)
                yield str(field.help_text)
    for template in PACKAGE.rglob("*.html"):
        yield from MARKED.findall(template.read_text())


def compiled(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        return dict(gettext.GNUTranslations(file)._catalog)


@language
def test_nothing_that_is_shown_is_missing(catalogue: Path) -> None:
    known = compiled(catalogue.with_suffix(".mo"))
    missing = {text for text in texts() if text and f"{CONTEXT}\x04{text}" not in known}
    assert not missing, f"add to {catalogue.relative_to(ROOT)}: {sorted(missing)}"


@language
def test_what_is_shipped_is_compiled_from_what_is_written(catalogue: Path, tmp_path: Path) -> None:
    if not shutil.which("msgfmt"):
        pytest.skip("msgfmt, of GNU gettext, is not on the PATH")
    fresh = tmp_path / "django.mo"
    subprocess.run(["msgfmt", "-c", "-o", str(fresh), str(catalogue)], check=True, timeout=20)
    remedy = f"run: msgfmt -o {catalogue.with_suffix('.mo')} {catalogue}"
    assert compiled(catalogue.with_suffix(".mo")) == compiled(fresh), remedy


def test_a_german_reader_reads_german() -> None:
    with override("de"):
        assert Tenant._meta.verbose_name_plural == "Mandanten"
        assert Tenant._meta.get_field("created_at").verbose_name == "angelegt am"
        page = render_to_string("notifications/unsubscribe.html", {"done": False})
    assert '<html lang="de">' in page
    assert "Möchten Sie diese Nachrichten nicht mehr bekommen?" in page
    with override("en"):
        assert Tenant._meta.get_field("created_at").verbose_name == "created at"
