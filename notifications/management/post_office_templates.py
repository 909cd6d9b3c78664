"""The templates of django-post_office become ours, as far as they say the same here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import transaction

from ..conf import get_settings
from ..enums import Channel
from ..exceptions import ContentError, InvalidNotification
from ..messages import TemplateDraft
from ..models import Template, Tenant
from ..pipeline import database
from ..pipeline.template_store import put
from ..shortcuts import tenant_of
from ..template_validation import parse_template
from ..validation import TEMPLATE_NAME_MAX, parse_template_name

PART_OF = {"subject": "subject", "content": "body", "html_content": "html"}

OTHERWISE_HERE = {
    re.compile(r"\{#"): "a comment would be sent as it stands; take {# … #} out",
    re.compile(r"\{[{%][^{}%]*\bforloop\b"): "there is no forloop",
}
"""What is read without an error, and does not mean here what it means to Django."""


@dataclass(slots=True)
class ImportedTemplates:
    """Names as they were, to the names they have here; `left` are those that stay, and why.

    `known` have a template of their name here already, which is left as it is.
    """

    taken: dict[str, str] = field(default_factory=dict)
    known: list[str] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)


def import_templates(tenant: str | None = None, *, dry_run: bool = False) -> ImportedTemplates:
    """Take over all templates that can be, in one transaction; `dry_run` undoes it again."""
    found = ImportedTemplates()
    rows: Any = apps.get_app_config("post_office").get_model("EmailTemplate")._default_manager
    with database.atomic():
        owner = tenant_of(tenant or get_settings().mail.tenant)
        for row in rows.order_by("name", "language", "pk"):
            _take(owner, row, found)
        if dry_run:
            transaction.set_rollback(True, using=database.alias())
    return found


def flaws_of(error: InvalidNotification) -> list[str]:
    """What is wrong, each with the name of its field where it is of one."""
    return [": ".join(filter(None, (e.pointer.removeprefix("/"), e.detail))) for e in error.errors]


def _take(tenant: Tenant, row: Any, found: ImportedTemplates) -> None:
    old = f"{row.name} ({row.language})" if row.language else row.name
    name = _name(row)
    if name in found.taken.values():
        found.left[old] = [f"another one is called {name} here already"]
    elif Template.objects.filter(tenant=tenant, name=name).exists():
        found.known.append(old)
    elif flaws := [*_other_meanings(row), *_flaws(name, row)]:
        found.left[old] = flaws
    else:
        put(tenant, name, _draft(name, row))
        found.taken[old] = name


def _name(row: Any) -> str:
    """Such as `welcome_email`, and of its translation `welcome_email.de`."""
    text = ".".join(filter(None, (row.name, row.language))).lower()
    single = re.sub(r"[^a-z0-9]+", lambda gap: gap[0][0] if gap[0][0] in "._-" else "-", text)
    return single[:TEMPLATE_NAME_MAX].strip("._-")


def _other_meanings(row: Any) -> Iterator[str]:
    for theirs, ours in PART_OF.items():
        for pattern, reason in OTHERWISE_HERE.items():
            if found := pattern.search(text := getattr(row, theirs)):
                yield f"{ours}: line {text.count(chr(10), 0, found.start()) + 1}: {reason}"


def _flaws(name: str, row: Any) -> list[str]:
    try:
        _draft(name, row)
    except InvalidNotification as error:
        return flaws_of(error)
    except ContentError as error:
        return [f"name: {error.detail}"]
    return []


def _draft(name: str, row: Any) -> TemplateDraft:
    parse_template_name(name)
    parts = {ours: getattr(row, theirs) for theirs, ours in PART_OF.items()}
    given = {ours: text for ours, text in parts.items() if text}
    return parse_template({"channel": Channel.EMAIL, **given})
