"""Templates are written here: each change of what one says is a version, and none is lost."""

from django.db.models.functions import Now

from ..exceptions import FieldError, InvalidNotification
from ..idempotency import digest
from ..messages import TemplateDraft
from ..models import Template, TemplateVersion, Tenant
from . import database


def put(tenant: Tenant, name: str, draft: TemplateDraft) -> tuple[TemplateVersion, bool]:
    """The version that says what `draft` says, and whether there was no template of this name.

    What is said already makes no new version. A name keeps its channel, even while archived:
    raises InvalidNotification for another.
    """
    with database.atomic():
        template = _locked(tenant, name, draft)
        is_new = template.version == 0 or template.archived_at is not None
        if template.channel != draft.channel:
            detail = f"this name is of a template for {template.channel}; use another name"
            raise InvalidNotification([FieldError("/channel", "other_channel", detail)])
        version = _version(template, draft)
        if is_new or _changes(template, version, draft):
            template.version, template.archived_at = version.number, None
            template.is_transactional = draft.is_transactional
            template.category = draft.category
            template.updated_at = database.now()
            template.save()
        version.template = template
    return version, is_new


def archive(template: Template) -> None:
    """Take it out of use; notifications made from it keep it."""
    Template.objects.live().filter(pk=template.pk).update(archived_at=Now())


def _locked(tenant: Tenant, name: str, draft: TemplateDraft) -> Template:
    new = Template(tenant=tenant, name=name, channel=draft.channel)
    Template.objects.bulk_create([new], ignore_conflicts=True)
    return Template.objects.select_for_update().get(tenant=tenant, name=name)


def _version(template: Template, draft: TemplateDraft) -> TemplateVersion:
    said = digest({"channel": draft.channel, "content": draft.content})
    current = TemplateVersion.objects.filter(template=template, number=template.version).first()
    if current and current.digest == said:
        return current
    number = template.version + 1
    return TemplateVersion.objects.create(
        template=template, number=number, content=dict(draft.content), digest=said
    )


def _changes(template: Template, version: TemplateVersion, draft: TemplateDraft) -> bool:
    now = (template.version, template.is_transactional, template.category)
    return now != (version.number, draft.is_transactional, draft.category)
