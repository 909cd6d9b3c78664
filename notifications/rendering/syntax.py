"""From the text of a template to its nodes; whatever is wrong is told with its line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import Flaw, TemplateError, Unusable
from .filters import Argument, Filter, make_filter
from .nodes import For, If, Node, Nodes, Output, Path, Text
from .places import Tracker

SOURCE_MAX = 128 * 1024
TAGS_MAX = 1_000
DEPTH_MAX = 10
FILTERS_MAX = 5
TAG_MAX = 200

TAG = re.compile(
    # A block that has its line for itself takes the line away with it.
    rf"^[ \t]*\{{%(?P<alone>[^%\n]{{0,{TAG_MAX}}})%\}}[ \t]*(?:\r?\n|\Z)"
    rf"|\{{%(?P<block>[^%\n]{{0,{TAG_MAX}}})%\}}"
    rf"|\{{\{{(?P<output>[^{{}}\n]{{0,{TAG_MAX}}})\}}\}}",
    re.MULTILINE,
)
UNCLOSED = re.compile(r"\{[{%]")

NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
PATH = rf"{NAME}(?:\.{NAME}){{0,9}}"
FILTER = r"\|\s*([a-z]{1,20})\s*(?::\s*(\"[^\"]*\"|'[^']*'|[0-9]{1,4}))?\s*"
OUTPUT = re.compile(rf"\s*({PATH})\s*((?:{FILTER})*)")
FILTERS = re.compile(FILTER)
IF = re.compile(rf"if\s+(not\s+)?({PATH})")
FOR = re.compile(rf"for\s+({NAME})\s+in\s+({PATH})")

BLOCKS = "if x, if not x, else, endif, for x in list, endfor"


@dataclass(frozen=True, slots=True)
class Tag:
    """A piece of the source: static text, or what stands between the braces."""

    kind: str
    text: str
    line: int


def parse(source: str, tracker: Tracker) -> Nodes:
    """The nodes of `source`; raises TemplateError with the first thing that is wrong."""
    if len(source) > SOURCE_MAX:
        raise TemplateError([Flaw("too_long", f"at most {SOURCE_MAX:,} characters")])
    return _Parser(source, tracker).parse()


class _Parser:
    def __init__(self, source: str, tracker: Tracker) -> None:
        self._tags = _split(source)
        self._tracker = tracker
        self._line = 1
        self._count = 0

    def parse(self) -> Nodes:
        try:
            nodes = self._whole()
        except Unusable as error:
            flaw = Flaw(error.code, f"line {self._line}: {error.detail}")
            raise TemplateError([flaw]) from error
        return nodes

    def _whole(self) -> Nodes:
        state = self._tracker.state
        nodes, _ = self._nodes(depth=0, ends=())
        if self._tracker.state != state:
            raise Unusable("unclosed_markup", "close the last tag, quote, comment or style")
        return nodes

    def _nodes(self, depth: int, ends: tuple[str, ...]) -> tuple[Nodes, str]:
        """Nodes until one of the words in `ends`, and which it was."""
        nodes: list[Node] = []
        for tag in self._tags:
            self._line = tag.line
            word = tag.text.strip()
            if tag.kind == "text":
                nodes.append(self._text(tag.text))
            elif tag.kind == "output":
                nodes.append(self._output(tag.text))
            elif word in ends:
                return tuple(nodes), word
            else:
                nodes.append(self._block(word, depth + 1))
        if ends:
            raise Unusable("unclosed_block", f"write {{% {ends[-1]} %}} where the block ends")
        return tuple(nodes), ""

    def _text(self, text: str) -> Text:
        for line in text.splitlines(keepends=True):
            if UNCLOSED.search(line):
                detail = f"close on its line what the braces open, within {TAG_MAX} characters"
                raise Unusable("unclosed_tag", detail)
            self._tracker.feed(line)
            self._line += line.count("\n")
        return Text(text)

    def _output(self, text: str) -> Output:
        self._count_tag()
        found = OUTPUT.fullmatch(text)
        if not found:
            raise Unusable(
                "invalid_variable", "write {{ name }}, {{ a.b }} or {{ name|filter }} alone"
            )
        return Output(_path(found[1]), _filters(found[2]), self._tracker.place())

    def _block(self, word: str, depth: int) -> Node:
        self._count_tag()
        if depth > DEPTH_MAX:
            raise Unusable("too_deep", f"blocks may stand in {DEPTH_MAX} others at most")
        if found := IF.fullmatch(word):
            return self._if(_path(found[2]), bool(found[1]), depth)
        if found := FOR.fullmatch(word):
            return self._for(found[1], _path(found[2]), depth)
        raise Unusable("invalid_block", f"there is no such block here; there are {BLOCKS}")

    def _if(self, path: Path, negated: bool, depth: int) -> If:
        then, word = self._branch(depth, ("else", "endif"))
        otherwise: Nodes = ()
        if word == "else":
            otherwise, _ = self._branch(depth, ("endif",))
        return If(path, negated, then, otherwise)

    def _for(self, name: str, path: Path, depth: int) -> For:
        body, _ = self._branch(depth, ("endfor",))
        return For(name, path, body)

    def _branch(self, depth: int, ends: tuple[str, ...]) -> tuple[Nodes, str]:
        state = self._tracker.state
        found = self._nodes(depth, ends)
        if self._tracker.state != state:
            raise Unusable(
                "unbalanced_block", "end the block where it began: both within the same tag or none"
            )
        return found

    def _count_tag(self) -> None:
        self._count += 1
        if self._count > TAGS_MAX:
            raise Unusable("too_many_tags", f"at most {TAGS_MAX:,} variables and blocks")


def _split(source: str) -> Iterator[Tag]:
    line, position = 1, 0
    for found in TAG.finditer(source):
        if found.start() > position:
            yield Tag("text", source[position : found.start()], line)
        line += source.count("\n", position, found.start())
        kind = "output" if found.lastgroup == "output" else "block"
        yield Tag(kind, found[str(found.lastgroup)], line)
        line += source.count("\n", found.start(), found.end())
        position = found.end()
    if position < len(source):
        yield Tag("text", source[position:], line)


def _path(text: str) -> Path:
    return tuple(text.split("."))


def _filters(text: str) -> tuple[Filter, ...]:
    found = FILTERS.findall(text)
    if len(found) > FILTERS_MAX:
        raise Unusable("too_many_filters", f"at most {FILTERS_MAX} filters for a variable")
    return tuple(make_filter(name, _argument(text)) for name, text in found)


def _argument(text: str) -> Argument:
    if not text:
        return None
    return int(text) if text.isdigit() else text[1:-1]
