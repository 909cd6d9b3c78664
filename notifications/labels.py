"""The names of models and fields in the language of the reader.

They are those that Django makes of the names in the code, looked up in our catalogues. The context
keeps our words apart from those of other apps, so that "state" may mean something else there.
"""

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.utils.translation import npgettext, pgettext, pgettext_lazy

CONTEXT = "notifications"


def translate_names(found: Iterable[type[models.Model]]) -> None:
    """Have the names and help texts of these models and their fields translated when they are read.

    What migrations know of them stays as it is.
    """
    for model in found:
        meta: Any = model._meta
        meta.verbose_name = _label(meta.verbose_name)
        meta.verbose_name_plural = _label(meta.verbose_name_plural)
        for field in meta.local_fields:
            field.verbose_name = _label(field.verbose_name)
            field.help_text = field.help_text and _label(field.help_text)


def label(text: str) -> Any:
    """Translated when it is shown: for what is written once and read by many, such as headings."""
    return pgettext_lazy(CONTEXT, text)


def say(text: str, **values: Any) -> str:
    """Translated now, with `values` in the places that it names."""
    return pgettext(CONTEXT, text).format(**values)


def counted(one: str, many: str, number: int, **values: Any) -> str:
    """As `say`, in the form that goes with `number`."""
    return npgettext(CONTEXT, one, many, number).format(number=number, **values)


def _label(text: Any) -> Any:
    return label(str(text))
