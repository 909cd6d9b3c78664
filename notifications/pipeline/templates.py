"""What a template makes of a context, before anything is stored.

A call looks its templates up in one query, without their text: that is read, and compiled, once
in each process for each text there is.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..channels import CHANNELS
from ..enums import Channel
from ..exceptions import ContentError, FieldError, InvalidNotification
from ..messages import DigestRule, Draft
from ..models import TemplateVersion, Tenant
from ..rendering import (
    Allowance,
    Compiled,
    Part,
    TemplateError,
    compile_part,
    inline_styles,
    render,
)

COMPILED_MAX = 256
"""How many templates a process keeps compiled."""

CALL_STEPS_MAX = 2_000_000
"""A few seconds of a processor."""

CALL_BYTES_MAX = 32 * 1024 * 1024
"""What all notifications of one call may come to: a thousand times the largest would not fit."""

TEMPLATES_MAX = 50
"""How many templates one call may use: each may have to be read and compiled for it."""

Parts = Mapping[str, Compiled]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Drafts with their content, the reasons why some have none, and the versions used."""

    drafts: Sequence[Draft]
    errors: Mapping[int, InvalidNotification] = field(default_factory=dict)
    versions: Mapping[int, TemplateVersion] = field(default_factory=dict)


def resolve(tenant: Tenant, drafts: Sequence[Draft]) -> Resolved:
    """Render the drafts that name a template; `errors` are by their place in `drafts`."""
    named = {n: d.template for n, d in enumerate(drafts) if d.template is not None}
    rules = {n: d.digest for n, d in enumerate(drafts) if d.digest is not None}
    if not (named or rules):
        return Resolved(drafts)
    asked = (*named.values(), *(rule.template for rule in rules.values()))
    names = list(dict.fromkeys(asked))[:TEMPLATES_MAX]
    found = _current(tenant, names)
    parts = _compile(found.values())
    resolved, errors = list(drafts), {}
    allowance = Allowance(CALL_STEPS_MAX, CALL_BYTES_MAX)
    for n, name in named.items():
        try:
            _check_call(name in names, allowance)
            resolved[n] = _filled(drafts[n], found.get(name), parts, allowance)
        except InvalidNotification as error:
            errors[n] = error
    for n in rules.keys() - errors.keys():
        wrong = _digest_error(resolved[n], rules[n], names, found)
        if wrong is not None:
            errors[n] = InvalidNotification([wrong])
    return Resolved(resolved, errors, {version.pk: version for version in found.values()})


def preview(version: TemplateVersion, context: Mapping[str, Any]) -> dict[str, str]:
    """What `version` makes of `context`; raises InvalidNotification with pointers to `/context`."""
    return _fill(version, _compile([version])[version.pk], context, None)


def _current(tenant: Tenant, names: Collection[str]) -> dict[str, TemplateVersion]:
    rows = TemplateVersion.objects.current().defer("content")
    found = rows.filter(template__tenant=tenant, template__name__in=names)
    return {version.template.name: version for version in found}


def _check_call(looked_up: bool, allowance: Allowance) -> None:
    if not looked_up:
        detail = f"at most {TEMPLATES_MAX} templates in one call; send it with another"
        raise _refused("/template", "too_many_templates", detail)
    if allowance.is_spent:
        detail = "what comes before it makes this call too large; send it with another"
        raise _refused("/context", "too_large", detail)


def _digest_error(
    draft: Draft,
    rule: DigestRule,
    names: Collection[str],
    found: Mapping[str, TemplateVersion],
) -> FieldError | None:
    """Why the template of its digest cannot stand for it."""
    pointer, version = "/digest/template", found.get(rule.template)
    if version is None and rule.template not in names:
        detail = f"at most {TEMPLATES_MAX} templates in one call; send it with another"
        return FieldError(pointer, "too_many_templates", detail)
    if version is None:
        return FieldError(pointer, "unknown_template", "there is no template of this name")
    template = version.template
    if template.channel != draft.channel:
        detail = f"is a template for {template.channel}"
        return FieldError(pointer, "not_for_channel", detail)
    kind = draft.is_transactional, draft.category
    if (template.is_transactional, template.category) != kind:
        detail = "must be of the notification's own category, or transactional as it is"
        return FieldError(pointer, "other_category", detail)
    return None


def _filled(
    draft: Draft,
    version: TemplateVersion | None,
    parts: Mapping[int, Parts | None],
    allowance: Allowance,
) -> Draft:
    if version is None:
        raise _refused("/template", "unknown_template", "there is no template of this name")
    if version.template.channel != draft.channel:
        detail = f"is a template for {version.template.channel}"
        raise _refused("/template", "not_for_channel", detail)
    rendered = _fill(version, parts[version.pk], draft.context, allowance)
    return replace(
        draft,
        content={**draft.content, **rendered},
        template_version_id=version.pk,
        is_transactional=version.template.is_transactional,
        category=version.template.category,
    )


def _fill(
    version: TemplateVersion,
    parts: Parts | None,
    context: Mapping[str, Any],
    allowance: Allowance | None,
) -> dict[str, str]:
    if parts is None:
        raise _refused("/template", "unusable_template", "cannot be read; save it anew")
    try:
        row = CHANNELS[Channel(version.template.channel)]
        content = _styled(render(parts, context, allowance), row.parts, allowance)
        row.check_rendered(content)
    except TemplateError as error:
        errors = [FieldError("/context", flaw.code, flaw.detail) for flaw in error.flaws]
        raise InvalidNotification(errors) from error
    except ContentError as error:
        raise _refused("/context", error.code, error.detail) from error
    return content


def _styled(
    content: Mapping[str, str], kinds: Mapping[str, Part], allowance: Allowance | None
) -> dict[str, str]:
    return {
        name: inline_styles(text, allowance) if kinds[name] is Part.HTML else text
        for name, text in content.items()
    }


_kept: dict[str, Parts] = {}


def _compile(versions: Iterable[TemplateVersion]) -> dict[int, Parts | None]:
    """The parts of each version; those that are not kept are read in one query."""
    by_id = {version.pk: version for version in versions}
    found = {pk: _kept.get(version.digest) for pk, version in by_id.items()}
    unread = [pk for pk, parts in found.items() if parts is None]
    if unread:
        rows = TemplateVersion.objects.filter(pk__in=unread).values_list("pk", "content")
        found |= {pk: _keep(by_id[pk], content) for pk, content in rows}
    return found


def _keep(version: TemplateVersion, content: Mapping[str, str]) -> Parts | None:
    """Compile it; None for what was saved when more could be read than now."""
    kinds = CHANNELS[Channel(version.template.channel)].parts
    try:
        parts = {
            name: compile_part(content[name], kinds[name]) for name in kinds if name in content
        }
    except TemplateError:
        return None
    if len(_kept) >= COMPILED_MAX:
        _kept.clear()
    _kept[version.digest] = parts
    return parts


def _refused(pointer: str, code: str, detail: str) -> InvalidNotification:
    return InvalidNotification([FieldError(pointer, code, detail)])
