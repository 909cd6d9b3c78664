"""Circuits kept in Redis: a hash for each provider, moved by one script in one round trip."""

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from ...enums import CircuitState
from ...messages import Circuit, Passage, Tally
from ..base import Breaker, Step
from ..circuit import Book, Rules, view
from .connection import connection
from .local import LocalCircuits
from .options import Options

SCRIPT = "circuit.lua"


class RedisBreaker(Breaker):
    """Decides in Redis; while that is away, each process for itself.

    Its methods then raise nothing, and hardly ever wait.
    """

    def __init__(self, options: Mapping[str, Any], rules: Mapping[str, Rules]) -> None:
        super().__init__(options, rules)
        read = Options.of(options)
        self._connection = connection(read.url)
        self._prefix = read.prefix
        self._local = LocalCircuits()

    def state(self, provider: str) -> Circuit:
        answer = self._run(provider, "view")
        return view(self._local.book(provider) if answer is None else _book(*answer[4:]))

    def _allow(self, provider: str, units: int, token: str) -> Step:
        answer = self._run(provider, "allow", units, token)
        if answer is None:
            return self._local.allow(provider, units, token, self._rules_of(provider))
        return _step(*answer)

    def _record(self, provider: str, tally: Tally, probe: str, luck: float) -> Step:
        counts = (tally.ok, tally.failed, int(tally.fatal))
        answer = self._run(provider, "record", *counts, probe, repr(luck))
        if answer is None:
            return self._local.record(provider, tally, probe, luck, self._rules_of(provider))
        return _step(*answer)

    def _run(self, provider: str, *question: int | str) -> list[Any] | None:
        key = f"{{{self._prefix}}}:circuit:{provider}"
        rules = [repr(value) for value in astuple(self._rules_of(provider))]
        return self._connection.run(SCRIPT, [key], [*rules, *question])


def _step(units: int, wait: bytes, probe: bytes, before: bytes, *book: bytes) -> Step:
    after = _book(*book)
    passage = Passage(units, after.state, float(wait), after.reason, probe.decode())
    return Step(passage, after.state != before.decode())


def _book(state: bytes, since: bytes, reason: bytes, until: bytes) -> Book:
    return Book(CircuitState(state.decode()), float(since), reason.decode(), float(until))
