"""What all pages share, and lists of large tables: rows never counted in full, read-only or not."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy

if TYPE_CHECKING:
    DjangoModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    ModelForm = forms.ModelForm[Any]
    RowPaginator = Paginator[Any]
else:  # These of Django's classes cannot be subscripted at run time.
    DjangoModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline
    ModelForm, RowPaginator = forms.ModelForm, Paginator

COUNTED_ROWS = 10_000
"""How many rows of a list can be paged through; a search or a filter finds what lies beyond."""


class NamedDateTime(AdminSplitDateTime):
    """Django's two fields for a time, named: before 6.0 the words beside them are no labels."""

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs)
        for widget, name in zip(self.widgets, ("Date:", "Time:"), strict=True):
            widget.attrs["aria-label"] = gettext_lazy(name)


class ModelAdmin(DjangoModelAdmin):
    """A page with this app's style, which everybody can read and fill in."""

    formfield_overrides: ClassVar[Any] = {
        models.DateTimeField: {"form_class": forms.SplitDateTimeField, "widget": NamedDateTime}
    }

    class Media:
        css = {"all": ("notifications/admin.css",)}

    def answer(
        self, request: HttpRequest, template: str, context: Mapping[str, Any]
    ) -> TemplateResponse:
        """A page that is not one of Django's own, in the same frame as these."""
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, template, {**shared, **context})


class BoundedPaginator(RowPaginator):
    """Counts no further than `COUNTED_ROWS`, so that a page costs the same at any table size."""

    @cached_property
    def count(self) -> int:
        return min(self._found, COUNTED_ROWS)

    @property
    def is_cut(self) -> bool:
        """Whether there is more than can be paged through."""
        return self._found > COUNTED_ROWS

    @cached_property
    def _found(self) -> int:
        # In the order of the list: what waits is what is newest, and without an order PostgreSQL
        # reads from the oldest on, past all that is finished.
        rows: Any = self.object_list
        return int(rows[: COUNTED_ROWS + 1].count())


class ReadOnly:
    """Nobody adds, changes or deletes: rows are moved by the pipeline alone."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LongListAdmin(ModelAdmin):
    """A list of any length: newest first by primary key, without counts, facets or sorting."""

    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)


class ReadOnlyAdmin(ReadOnly, LongListAdmin):
    """A long list to look at."""

    actions: Sequence[Any] | None = None


class PartOfPage(ReadOnly, TabularInline):
    """Rows shown below what they belong to, to everybody who may see that."""

    extra = 0
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True
