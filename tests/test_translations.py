"""Every catalogue that is shipped is complete, and is what its text says."""

import ast
import gettext
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.template import Template
from django.template.loader import render_to_string
from django.templatetags.i18n import BlockTranslateNode, TranslateNode
from django.utils.translation import override

from notifications.enums import AttemptOutcome, JobKind, KeyScope, Scope, Status, SuppressionReason
from notifications.gates.circuit import CREDENTIALS, FAILURES
from notifications.labels import CONTEXT
from notifications.models import Tenant
from notifications.pipeline.jobs import FILTERS
from tests.processes import ROOT

PACKAGE = ROOT / "notifications"
CATALOGUES = sorted(PACKAGE.glob("locale/*/LC_MESSAGES/django.po"))
TEMPLATES = sorted(PACKAGE.rglob("templates/**/*.html"))
ADMIN = [path for path in TEMPLATES if "admin" in path.parts]
MARKS = {"label": 1, "say": 1, "counted": 2, "phrase": 1, "phrase_of": 2}
"""The functions of `labels` that take texts, and how many."""

CLOSED_SETS = (
    Status.values,
    AttemptOutcome.values,
    Scope.values,
    JobKind.values,
    SuppressionReason.values,
    KeyScope.labels,
    [FAILURES, CREDENTIALS],
    [name.replace("_", " ") for name in FILTERS],
)
"""Of the words that the admin looks up one by one, those that are no choices of a field."""

FOREIGN = {"Home", "Search", "Show all"}
"""What Django's own catalogues have."""

UNITS = re.compile(r"p50|p95|p99|h|nd-page|django-notifications-engine")
"""What reads the same in every language."""

PARTS = re.compile(
    r"(?s)({%\s*blocktranslate.*?endblocktranslate\s*%}|<(?:code|title|script|style)\b.*?</(?:code|title|script|style)>"
    r"|{%.*?%}|{{.*?}}|{#.*?#}|<(?:{%.*?%}|{{.*?}}|[^>{])*>|&\w+;)"
)
ATTRIBUTES = re.compile(r'\b(?:aria-label|title|placeholder|alt)="([^"{]*[A-Za-z][^"{]*)"')

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
                yield from (str(text) for _, text in field.flatchoices)
    for words in CLOSED_SETS:
        yield from (str(word) for word in words)
    yield from (text for text, _ in marked())


def marked() -> Iterator[tuple[str, bool]]:
    """Each text that is marked in code and templates, and whether it is a plural."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield from _of_call(node, path)
    for path in TEMPLATES:
        yield from _of_template(path)


def _of_call(node: ast.Call, path: Path) -> Iterator[tuple[str, bool]]:
    name = getattr(node.func, "id", "")
    if name not in MARKS or path.name == "labels.py":
        return
    for index, argument in enumerate(node.args[: MARKS[name]]):
        text = argument.value if isinstance(argument, ast.Constant) else None
        assert isinstance(text, str), f"{path}:{node.lineno}: no text that can be looked up"
        yield text, index == 1


def _of_template(path: Path) -> Iterator[tuple[str, bool]]:
    nodes: Any = Template(path.read_text()).nodelist
    for node in nodes.get_nodes_by_type(TranslateNode):
        text = str(node.filter_expression.var.literal)
        assert node.message_context or text in FOREIGN, f"{path}: {text!r} has no context"
        if node.message_context:
            yield text, False
    for node in nodes.get_nodes_by_type(BlockTranslateNode):
        assert node.message_context, f"{path}: {node.singular} has no context"
        yield node.render_token_list(node.singular)[0], False
        if node.plural:
            yield node.render_token_list(node.plural)[0], True


def compiled(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        return dict(gettext.GNUTranslations(file)._catalog)


@language
def test_nothing_that_is_shown_is_missing(catalogue: Path) -> None:
    with catalogue.with_suffix(".mo").open("rb") as file:
        known = gettext.GNUTranslations(file)
    one = {text for text in texts() if text} - {text for text, is_plural in marked() if is_plural}
    missing = {text for text in one if not _has(known, text)}
    assert not missing, f"add to {catalogue.relative_to(ROOT)}: {sorted(missing)}"


def _has(known: gettext.GNUTranslations, text: str) -> bool:
    catalog: Any = known._catalog  # type: ignore[attr-defined]  # the only way to ask for a plural
    key = f"{CONTEXT}\x04{text}"
    return key in catalog or ((key, 0) in catalog and (key, 1) in catalog)


@language
def test_a_translation_names_the_same_values(catalogue: Path) -> None:
    place = re.compile(r"%\((\w+)\)s|{(\w+)}")
    for key, text in compiled(catalogue.with_suffix(".mo")).items():
        original = key[0] if isinstance(key, tuple) else key
        wanted, found = set(place.findall(original)), set(place.findall(text))
        assert found <= wanted, f"{original!r} is translated with other values: {text!r}"
        if not isinstance(key, tuple):
            assert found == wanted, f"{original!r} is translated without a value: {text!r}"


@pytest.mark.parametrize("path", ADMIN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_page_of_the_admin_has_no_text_that_is_not_marked(path: Path) -> None:
    source = path.read_text()
    bare = [part.strip() for part in PARTS.split(source) if not PARTS.fullmatch(part)]
    words = {part for part in bare if re.search(r"[A-Za-z]", part) and not UNITS.fullmatch(part)}
    assert words | set(ATTRIBUTES.findall(source)) == set()


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
