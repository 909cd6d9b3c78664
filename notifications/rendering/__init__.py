"""Templates that tenants write: little logic, no code, and a limit to everything they can do.

`{{ name }}`, `{{ a.b }}`, the filters of `filters`, `{% if %}` and `{% for %}` over plain JSON.
What they are filled with is never read as a template. A missing variable is an error. In HTML,
values are escaped for the place in which they stand, and may stand only where that is possible.
"""

from collections.abc import Mapping
from enum import StrEnum

from .errors import Flaw, TemplateError
from .markup import HtmlTracker
from .nodes import Allowance, Context, Nodes, Run, render_all
from .places import PlainTracker, line, sms, text
from .styles import inline_styles
from .syntax import parse

__all__ = (
    "Allowance",
    "Compiled",
    "Flaw",
    "Part",
    "TemplateError",
    "compile_part",
    "inline_styles",
    "render",
)


class Part(StrEnum):
    """What a part of a message is: it decides what values may hold, and how they are escaped."""

    LINE = "line"
    TEXT = "text"
    SMS = "sms"
    HTML = "html"


PLAIN = {Part.LINE: line, Part.TEXT: text, Part.SMS: sms}

Compiled = Nodes
"""A part that was read; immutable, and good for any number of threads."""


def compile_part(source: str, part: Part) -> Compiled:
    """Read a part; raises TemplateError that says in which line what is wrong."""
    return parse(source, HtmlTracker() if part is Part.HTML else PlainTracker(PLAIN[part]))


def render(
    parts: Mapping[str, Compiled], context: Context, allowance: Allowance | None = None
) -> dict[str, str]:
    """Fill all parts of one message; raises TemplateError with everything that is missing.

    `context` is plain JSON, and is not changed. The parts share one budget; what of it was used is
    charged to the `allowance`.
    """
    run = Run(dict(context))
    try:
        texts = {name: _text(nodes, run) for name, nodes in parts.items()}
    finally:
        if allowance:
            allowance.charge(run)
    run.finish()
    return texts


def _text(nodes: Nodes, run: Run) -> str:
    out: list[str] = []
    render_all(nodes, run, out)
    return "".join(out)
