"""The names of models and fields in the language of the reader.

They are those that Django makes of the names in the code, looked up in our catalogues. The context
keeps our words apart from those of other apps, so that "state" may mean something else there.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models
from django.utils.text import capfirst
from django.utils.translation import npgettext, pgettext, pgettext_lazy

CONTEXT = "notifications"


def translate_names(found: Iterable[type[models.Model]]) -> None:
    """Have the names, help texts and choices of these models translated when they are read.

    What migrations know of them stays as it is, and so do the labels of the enumerations: the API
    has them.
    """
    for model in found:
        meta: Any = model._meta
        meta.verbose_name = _label(meta.verbose_name)
        meta.verbose_name_plural = _label(meta.verbose_name_plural)
        for field in meta.local_fields:
            field.verbose_name = _label(field.verbose_name)
            field.help_text = field.help_text and _label(field.help_text)
            if field.choices:
                field.choices = words(field.choices)


def label(text: str) -> Any:
    """Translated when it is shown: for what is written once and read by many, such as headings."""
    return pgettext_lazy(CONTEXT, text)


def word(text: Any) -> Any:
    """One of a closed set of words, such as a status, translated when it is shown."""
    return label(str(text))


def words(choices: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Choices with their labels translated when they are shown."""
    return [(value, word(text)) for value, text in choices]


def name_fields(fields: Mapping[str, Any]) -> None:
    """Give fields of a form that have no label the name in the code, translated."""
    for name, field in fields.items():
        if not field.label:
            field.label = capfirst(word(name.replace("_", " ")))


def say(text: str, **values: Any) -> str:
    """Translated now, with `values` in the places that it names."""
    return pgettext(CONTEXT, text).format(**values)


def counted(one: str, many: str, number: int, **values: Any) -> str:
    """As `say`, in the form that goes with `number`."""
    return npgettext(CONTEXT, one, many, number).format(number=number, **values)


class Phrase(str):
    """A text in English, as the API and the log have it, which `spoken` says in any language."""

    __slots__ = ("_forms", "_values")
    _forms: tuple[str, str | None]
    _values: Mapping[str, Any]

    def spoken(self) -> str:
        """Translated now, and its values with it."""
        values = {name: spoken(value) for name, value in self._values.items()}
        one, many = self._forms
        return counted(one, many, **values) if many else say(one, **values)


def phrase(text: str, **values: Any) -> Phrase:
    """As `say`, but in English, to be translated when it is shown."""
    return _phrase(text, (text, None), values)


def phrase_of(one: str, many: str, number: int, **values: Any) -> Phrase:
    """As `counted`, but in English, to be translated when it is shown."""
    return _phrase(one if number == 1 else many, (one, many), {"number": number, **values})


def a_word(text: str) -> Phrase:
    """As `word`, but in English, to be translated when it is shown."""
    return _phrase(text, (text, None), {})


def spoken(value: Any) -> Any:
    """A phrase in the language of the reader; anything else as it is."""
    return value.spoken() if isinstance(value, Phrase) else value


def _phrase(text: str, forms: tuple[str, str | None], values: Mapping[str, Any]) -> Phrase:
    made = Phrase(text.format(**values))
    made._forms, made._values = forms, values
    return made


def _label(text: Any) -> Any:
    return label(str(text))
