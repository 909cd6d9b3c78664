"""A template that was read, and how it is filled: with a budget for all it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .errors import Flaw, TemplateError, Unusable
from .filters import MISSING, Filter, text_of
from .places import Escape

ITERATIONS_MAX = 1_000
STEPS_MAX = 20_000
"""Pieces of a template that are gone through, those in loops once for each turn."""

OUTPUT_MAX = 256 * 1024
FLAWS_MAX = 20

Path = tuple[str, ...]
Context = Mapping[str, Any]


@dataclass(slots=True)
class Allowance:
    """What the notifications of one call may still use between them: steps, and bytes of output.

    The one that uses it up is still finished.
    """

    steps: int
    room: int

    @property
    def is_spent(self) -> bool:
        return self.steps <= 0 or self.room <= 0

    def charge(self, run: "Run") -> None:
        self.steps -= STEPS_MAX - run.steps
        self.room -= OUTPUT_MAX - run.room


@dataclass(slots=True)
class Run:
    """One notification being rendered, in all its parts: what it may still use, what is wrong."""

    scope: dict[str, Any]
    iterations: int = ITERATIONS_MAX
    steps: int = STEPS_MAX
    room: int = OUTPUT_MAX
    missing: dict[str, None] = field(default_factory=dict)
    flaws: dict[Flaw, None] = field(default_factory=dict)

    def look_up(self, path: Path) -> Any:
        found: Any = self.scope
        for name in path:
            found = found.get(name, MISSING) if isinstance(found, dict) else MISSING
        return found

    def miss(self, path: Path) -> None:
        if len(self.missing) < FLAWS_MAX:
            self.missing[".".join(path)] = None

    def blame(self, path: Path, error: Unusable) -> None:
        if len(self.flaws) < FLAWS_MAX:
            self.flaws[Flaw(error.code, f"{'.'.join(path)}: {error.detail}")] = None

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise _too_much(f"more than {STEPS_MAX:,} steps")

    def iterate(self) -> None:
        self.iterations -= 1
        if self.iterations < 0:
            raise _too_much(f"more than {ITERATIONS_MAX:,} turns of its loops in all")

    def write(self, out: list[str], text: str) -> None:
        ascii = text.isascii()
        self.room -= len(text) if ascii else len(text.encode("utf-8", "surrogatepass"))
        if self.room < 0:
            raise _too_much(f"more than {OUTPUT_MAX // 1024} KiB")
        out.append(text)

    def finish(self) -> None:
        """Raise TemplateError with everything that was found."""
        flaws = list(self.flaws)
        if self.missing:
            names = ", ".join(self.missing)
            flaws.insert(0, Flaw("missing_variable", f"the template also needs: {names}"))
        if flaws:
            raise TemplateError(flaws)


class Node(Protocol):
    def render(self, run: Run, out: list[str]) -> None: ...


Nodes = Sequence[Node]


def render_all(nodes: Nodes, run: Run, out: list[str]) -> None:
    for node in nodes:
        run.step()
        node.render(run, out)


@dataclass(frozen=True, slots=True)
class Text:
    text: str

    def render(self, run: Run, out: list[str]) -> None:
        run.write(out, self.text)


@dataclass(frozen=True, slots=True)
class Output:
    """`{{ path | filter }}`"""

    path: Path
    filters: tuple[Filter, ...]
    escape: Escape

    def render(self, run: Run, out: list[str]) -> None:
        value = run.look_up(self.path)
        try:
            for filter in self.filters:
                if value is not MISSING or filter.lenient:
                    value = filter.apply(value)
            if value is MISSING:
                run.miss(self.path)
            else:
                run.write(out, self.escape(text_of(value)))
        except Unusable as error:
            run.blame(self.path, error)


@dataclass(frozen=True, slots=True)
class If:
    """`{% if path %}`, `{% if not path %}`: false are false, null, 0, and what is empty."""

    path: Path
    negated: bool
    then: Nodes
    otherwise: Nodes

    def render(self, run: Run, out: list[str]) -> None:
        value = run.look_up(self.path)
        if value is MISSING:
            run.miss(self.path)
        else:
            render_all(self.then if bool(value) != self.negated else self.otherwise, run, out)


@dataclass(frozen=True, slots=True)
class For:
    """`{% for name in path %}`"""

    name: str
    path: Path
    body: Nodes

    def render(self, run: Run, out: list[str]) -> None:
        items = run.look_up(self.path)
        if items is MISSING:
            run.miss(self.path)
        elif not isinstance(items, list):
            run.blame(self.path, Unusable("invalid_type", "must be a list"))
        else:
            self._go_through(items, run, out)

    def _go_through(self, items: list[Any], run: Run, out: list[str]) -> None:
        hidden = run.scope.get(self.name, MISSING)
        for item in items:
            run.iterate()
            run.scope[self.name] = item
            render_all(self.body, run, out)
        run.scope.pop(self.name, None)
        if hidden is not MISSING:
            run.scope[self.name] = hidden


def _too_much(what: str) -> TemplateError:
    return TemplateError([Flaw("too_large", f"with this context the template makes {what}")])
