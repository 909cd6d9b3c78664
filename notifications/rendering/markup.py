"""Reads HTML as a browser does, as far as it takes to know where a variable stands.

The states are those of the tokenizer in the HTML standard (section 13.2.5), without what cannot
change where a tag or an attribute ends.
"""

from collections.abc import Hashable
from enum import Enum, auto

from .addressing import Address
from .errors import Unusable
from .places import Escape, html

SPACE = " \t\n\r\f"

UNUSABLE = frozenset(
    (
        *("script", "iframe", "frame", "frameset", "object", "embed", "applet", "svg", "math"),
        *("plaintext", "xmp", "noembed", "noframes", "noscript", "base"),
    )
)
"""Elements that mail programs drop, or that read what is in them in a way of their own."""

RAW = frozenset({"style", "title", "textarea"})
"""Elements in which there are no tags."""

ADDRESSES = frozenset({"href", "src", "action", "background", "cite", "poster", "longdesc"})

PLAIN = frozenset(
    (
        *("abbr", "align", "alt", "bgcolor", "border", "cellpadding", "cellspacing", "class"),
        *("color", "colspan", "datetime", "dir", "headers", "height", "hspace", "id", "label"),
        *("lang", "name", "placeholder", "rowspan", "scope", "size", "span", "start", "summary"),
        *("title", "valign", "value", "vspace", "width"),
    )
)
"""Attributes whose value is nothing but text; besides these `data-…` and `aria-…`."""


class Mode(Enum):
    TEXT = auto()
    RAW = auto()
    OPEN = auto()
    END_OPEN = auto()
    MARKUP = auto()
    BOGUS = auto()
    COMMENT = auto()
    NAME = auto()
    BEFORE_ATTRIBUTE = auto()
    ATTRIBUTE = auto()
    AFTER_ATTRIBUTE = auto()
    BEFORE_VALUE = auto()
    DOUBLE = auto()
    SINGLE = auto()
    UNQUOTED = auto()


ENDS = {Mode.TEXT: "<", Mode.RAW: "<", Mode.DOUBLE: '"', Mode.SINGLE: "'"}
"""Modes that only one sign can end."""


class HtmlTracker:
    """Where in an HTML document the template is."""

    def __init__(self) -> None:
        self._begin(Mode.TEXT)

    def _begin(self, mode: Mode, element: str = "") -> None:
        """What stands between tags: nothing is left of the one before."""
        self._mode = mode
        self._is_end = False
        self._element = element
        self._attribute = ""
        self._tail = ""
        self._address = Address()

    @property
    def state(self) -> Hashable:
        found = (self._mode, self._is_end, self._element, self._attribute, self._tail)
        return (*found, self._address.state)

    def feed(self, text: str) -> None:
        position = self._skip(text, 0)
        while position < len(text):
            self._read(text[position])
            position = self._skip(text, position + 1)

    def _skip(self, text: str, position: int) -> int:
        """Past what changes nothing, which is most of a document."""
        sign = ENDS.get(self._mode)
        if sign is None or self._tail:
            return position
        found = text.find(sign, position)
        end = len(text) if found < 0 else found
        if self._attribute in ADDRESSES:
            self._address.feed(text[position:end])
        return end

    def place(self) -> Escape:
        match self._mode:
            case Mode.TEXT:
                return html
            case Mode.RAW if self._element != "style" and not self._tail:
                return html
            case Mode.DOUBLE | Mode.SINGLE:
                return self._place_of_value()
            case Mode.BEFORE_VALUE | Mode.UNQUOTED:
                raise Unusable("unquoted_attribute", 'put the value in quotes: name="{{ … }}"')
            case Mode.COMMENT | Mode.BOGUS | Mode.MARKUP:
                raise Unusable("in_comment", "no variable can stand in a comment")
            case Mode.RAW:
                raise Unusable("in_style", "no variable can stand in a style")
        raise Unusable("in_tag", "no variable can stand for a tag or the name of an attribute")

    def _place_of_value(self) -> Escape:
        name = self._attribute
        if name in ADDRESSES:
            return self._address.place()
        if name in PLAIN or name.startswith(("data-", "aria-")):
            return html
        raise Unusable("unsafe_attribute", "no variable can stand in this attribute")

    def _read(self, c: str) -> None:
        match self._mode:
            case Mode.TEXT:
                self._mode = Mode.OPEN if c == "<" else Mode.TEXT
            case Mode.OPEN | Mode.END_OPEN:
                self._read_open(c)
            case Mode.NAME | Mode.BEFORE_ATTRIBUTE | Mode.ATTRIBUTE | Mode.AFTER_ATTRIBUTE:
                self._read_tag(c)
            case Mode.BEFORE_VALUE | Mode.DOUBLE | Mode.SINGLE | Mode.UNQUOTED:
                self._read_value(c)
            case Mode.RAW:
                self._read_raw(c)
            case _:
                self._read_comment(c)

    def _read_open(self, c: str) -> None:
        is_end = self._mode is Mode.END_OPEN
        if c.isascii() and c.isalpha():
            self._mode, self._is_end, self._element = Mode.NAME, is_end, c.lower()
        elif is_end:
            self._mode = Mode.TEXT if c == ">" else Mode.BOGUS
        elif c in "/!?":
            self._mode = {"/": Mode.END_OPEN, "!": Mode.MARKUP, "?": Mode.BOGUS}[c]
        else:
            self._mode = Mode.TEXT
            self._read(c)

    def _read_tag(self, c: str) -> None:
        """Between `<` and the value of an attribute."""
        if c == ">":
            self._close()
        elif c == "/":
            self._mode = Mode.BEFORE_ATTRIBUTE
        elif c in SPACE:
            after = {Mode.ATTRIBUTE: Mode.AFTER_ATTRIBUTE, Mode.NAME: Mode.BEFORE_ATTRIBUTE}
            self._mode = after.get(self._mode, self._mode)
        elif self._mode is Mode.NAME:
            self._element += c.lower()
        elif c == "=" and self._mode is not Mode.BEFORE_ATTRIBUTE:
            self._mode = Mode.BEFORE_VALUE
        elif self._mode is Mode.ATTRIBUTE:
            self._attribute += c.lower()
        else:
            self._mode, self._attribute, self._address = Mode.ATTRIBUTE, c.lower(), Address()

    def _read_value(self, c: str) -> None:
        if self._mode in ENDS:
            self._end_value()
        elif c == ">":
            self._close()
        elif self._mode is Mode.BEFORE_VALUE:
            started = {'"': Mode.DOUBLE, "'": Mode.SINGLE}.get(c, Mode.UNQUOTED)
            self._mode = self._mode if c in SPACE else started
        elif c in SPACE:
            self._end_value()

    def _end_value(self) -> None:
        self._mode, self._attribute, self._address = Mode.BEFORE_ATTRIBUTE, "", Address()

    def _close(self) -> None:
        element, is_end = self._element, self._is_end
        if element in UNUSABLE:
            raise Unusable("unusable_element", f"<{element}> cannot be used in an e-mail")
        if element in RAW and not is_end:
            self._begin(Mode.RAW, element)
        else:
            self._begin(Mode.TEXT)

    def _read_raw(self, c: str) -> None:
        """Until the end tag of its own; `_tail` is the beginning of what may become it."""
        end = f"</{self._element}"
        if self._tail == end and c in SPACE + "/>":
            self._is_end, self._tail, self._mode = True, "", Mode.NAME
            self._read(c)
            return
        tail = self._tail + c.lower()
        self._tail = tail if end.startswith(tail) else "<" if c == "<" else ""

    def _read_comment(self, c: str) -> None:
        """`_tail` is what of the end of a comment has been read; `^` is its beginning."""
        match self._mode, self._tail + c:
            case Mode.MARKUP, "-":
                self._tail = "-"
            case Mode.MARKUP, "--":
                self._mode, self._tail = Mode.COMMENT, "^"
            case Mode.COMMENT, "^>" | "^->" | "-->" | "--!>":
                self._mode, self._tail = Mode.TEXT, ""
            case Mode.COMMENT, ("^-" | "-" | "--" | "--!") as tail:
                self._tail = tail
            case Mode.COMMENT, "^--" | "---":
                self._tail = "--"
            case Mode.COMMENT, _:
                self._tail = "-" if c == "-" else ""
            case _:
                self._mode, self._tail = Mode.TEXT if c == ">" else Mode.BOGUS, ""
