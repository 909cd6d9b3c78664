"""The styles of an HTML document, written into its elements: some mail programs drop a `style`.

Done by css-inline, where it is installed (the extra `css`), to the finished text: which elements
there are, and what comes first or last among them, is only known then. It loads nothing. It reads
nested elements by recursion and has no limits of its own, so what could be too much for it is not
given to it, and stays as it is.
"""

import re
import time
from collections import Counter

from .nodes import OUTPUT_MAX, Allowance

try:
    import css_inline
except ImportError:
    css_inline = None  # type: ignore[assignment]  # an optional extra

DEPTH_MAX = 100
NODES_MAX = 200_000
"""Elements times their depth: what is never closed is opened anew in each paragraph."""

STYLES_MAX = 20_000_000
"""Elements times the length of the styles: each may get all of them."""

STEPS_PER_SECOND = 400_000
"""What a second of a processor is charged to the allowance of a call."""

TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)", re.IGNORECASE)

VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "source",
        "track",
        "wbr",
    ]
)
CLOSED_BY_THE_NEXT = frozenset(["p", "li", "dt", "dd", "td", "th", "tr", "option"])
"""Never deeper than the elements around them, which count."""


def inline_styles(html: str, allowance: Allowance | None = None) -> str:
    """`html` with its styles in its elements too; as it is, where that is not to be had."""
    if css_inline is None or "<style" not in html.lower() or is_too_much(html):
        return html
    started = time.thread_time()
    try:
        inlined = _inliner().inline(html)
    except css_inline.InlineError:
        return html
    finally:
        if allowance:
            allowance.steps -= int((time.thread_time() - started) * STEPS_PER_SECOND)
    return inlined if len(inlined.encode("utf-8", "surrogatepass")) <= OUTPUT_MAX else html


def is_too_much(html: str) -> bool:
    """Whether there are too many elements, or too deep, for how long the styles are."""
    elements, depth, styles = html.count("<"), _depth(html), _length_of_styles(html.lower())
    return depth > DEPTH_MAX or elements * depth > NODES_MAX or elements * styles > STYLES_MAX


def _length_of_styles(html: str) -> int:
    length, start = 0, html.find("<style")
    while start >= 0:
        end = html.find("</style", start)
        if end < 0:
            return length + len(html) - start
        length += end - start
        start = html.find("<style", end)
    return length


def _depth(html: str) -> int:
    """At least a third of how deep its elements are for a browser, whatever is left unclosed."""
    open: Counter[str] = Counter()
    depth = deepest = 0
    for slash, name in TAG.findall(html):
        element = name.lower()
        if element in VOID or element in CLOSED_BY_THE_NEXT:
            continue
        if not slash:
            open[element] += 1
            depth += 1
        elif open[element]:
            open[element] -= 1
            depth -= 1
        deepest = max(deepest, depth)
    return deepest


def _inliner() -> "css_inline.CSSInliner":
    """The `style` stays too: it has what cannot be written into an element, such as `@media`."""
    return css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True)
