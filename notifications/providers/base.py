"""The contract of a provider: frozen messages in, one outcome each out, and nothing else.

A provider knows no database and no settings but its own options. It never decides whether to
try again: it says as precisely as it can what happened, above all whether the message may have
been taken.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured

from ..enums import Channel
from ..exceptions import NotReceipts
from ..messages import Message, Outcome, Pending, ReceiptRequest, ReportedReceipt

logger = logging.getLogger(__name__)

P = TypeVar("P")


class Provider(ABC):
    """One configured provider; an instance serves all threads of its process.

    A subclass says what it is able to do, and overrides `send`, or derives from `OneByOne`.
    """

    channels: ClassVar[frozenset[Channel]]
    """What it carries."""

    honours_key: bool = False
    """A repeated send with the same `Message.key` has no second effect."""

    one_account: ClassVar[bool] = True
    """Whoever it hands messages to is one party, whose refusals concern the messages of all.

    Where each recipient has a server of its own, one that refuses slows nobody else down.
    """

    concurrency: int = 1
    """How many messages it sends at the same time in one process.

    Whoever mostly waits for answers has more, such as 32; `CONCURRENCY` in the settings overrules.
    """

    window: int = 20
    """The most messages it is handed at once: a crash leaves no more than these unknown.

    At least `concurrency`: only what it was handed can be under way. A slow one is handed fewer.
    """

    reports_delivery: bool = False
    """Receipts may follow; without them, accepted is the last that is heard."""

    can_look_up: bool = False
    """It can be asked what became of a message: see `look_up`."""

    looks_up_by_content: bool = False
    """It keeps no id of ours, so that it is asked for who got what, and when.

    Of two alike it cannot be told which is which, so it is not asked about those.
    """

    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    """Each option with what turns it into a usable value or raises ValueError."""

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        """`timeout` is in seconds and bounds one message; raises ImproperlyConfigured."""
        if problems := self.problems(options):
            raise ImproperlyConfigured(f'The provider "{name}": {" ".join(problems)}')
        self.name = name
        self.timeout = timeout
        self.options = {key: self.known_options[key](value) for key, value in options.items()}

    @classmethod
    def problems(cls, options: Mapping[str, Any]) -> list[str]:
        """What is wrong with `options`, a sentence each; also shown by `manage.py check`."""
        return [problem for name in options if (problem := cls._problem(name, options[name]))]

    @classmethod
    def _problem(cls, name: str, value: Any) -> str:
        known = ", ".join(sorted(cls.known_options)) or "none"
        if name not in cls.known_options:
            return f'The option "{name}" is not known; known are: {known}.'
        try:
            cls.known_options[name](value)
        except ValueError as error:
            return f'The option "{name}" is unusable: {error}.'
        return ""

    @abstractmethod
    def send(self, messages: Sequence[Message], deadline: float) -> list[Outcome]:
        """Send `messages` and return an outcome for each, in their order.

        After `deadline` (of `time.monotonic`) no message is begun; those left are abandoned.
        Whatever the provider answers is an outcome, never an exception. Codes and details hold
        nothing of the recipient or the content.
        """

    def look_up(
        self, message: Message, began: datetime, note: str = ""
    ) -> Outcome | Pending | None:
        """What became of a message whose outcome is not known; None while it cannot be told.

        `attempt` is that of the last try, which began at `began`. Accepted when the provider has
        it, transient when it certainly has not. It is asked as long as `can_look_up`, for at most
        `timeout` seconds. What takes longer is pending, and is asked about again with its `note`,
        in whatever process.
        """
        return None

    def read_receipts(self, request: ReceiptRequest) -> list[ReportedReceipt]:
        """What an authentic call of the provider says; nothing, where it says nothing we know.

        Cheap checks come first, for anybody may call. Raises NotReceipts where none are read,
        NotAuthentic for what the provider has not signed, NotJudged where that cannot be told now.
        Whatever is signed is read without an error, unknown words and fields included.
        """
        raise NotReceipts

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Let go of connections that are kept open; it may be used again afterwards."""


class OneByOne(Provider, Generic[P]):
    """A provider that takes one message at a time, in two steps.

    With a `concurrency` above 1 it does so in as many threads of its own, which all callers in
    the process share; otherwise in the caller's. Neither step may use the database: deliveries
    hold no connection to it meanwhile, and a thread's own would never be closed.

    What fails while a message is rendered is our fault and happened before any byte left, so it
    is permanent. What fails unforeseen after that may have been sent, so it is ambiguous; to
    call it transient would send a poisonous message again and again.
    """

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    @abstractmethod
    def render(self, message: Message) -> P | Outcome:
        """What `hand_over` takes, or an outcome when it cannot be sent at all; no network."""

    @abstractmethod
    def hand_over(self, rendered: P) -> Outcome:
        """Give it to the provider and sort the answer."""

    def send(self, messages: Sequence[Message], deadline: float) -> list[Outcome]:
        if self.concurrency == 1:
            return [self._send_until(deadline, message) for message in messages]
        with self._lock:  # a pool that is closed takes nothing more
            self._pool = self._pool or self._new_pool()
            outcomes = self._pool.map(partial(self._send_in_thread, deadline), messages)
        return list(outcomes)  # if that is interrupted, what is not begun by then never is

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool:
            pool.shutdown(wait=False)  # what it was given is still sent

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.concurrency, f"provider-{self.name}")

    def _send_in_thread(self, deadline: float, message: Message) -> Outcome:
        """As `_send_until`; here even what ends a process ends no more than this message."""
        try:
            return self._send_until(deadline, message)
        except BaseException as error:
            return self._unforeseen(error)

    def _send_until(self, deadline: float, message: Message) -> Outcome:
        began = time.monotonic()
        if began >= deadline:
            return Outcome.abandoned("deadline", "The time of this task was used up before it.")
        outcome = self._send_one(message)
        return replace(outcome, seconds=time.monotonic() - began)

    def _send_one(self, message: Message) -> Outcome:
        try:
            rendered = self.render(message)
        except Exception as error:
            self._report("rendering", error)
            return Outcome.permanent("render_error", "The message could not be rendered.")
        if isinstance(rendered, Outcome):
            return rendered
        try:
            return self.hand_over(rendered)
        except Exception as error:
            return self._unforeseen(error)

    def _unforeseen(self, error: BaseException) -> Outcome:
        self._report("sending", error)
        return Outcome.ambiguous("unexpected_error", "An unforeseen error while sending.")

    def _report(self, step: str, error: BaseException) -> None:
        # Without its text and traceback, which may show the recipient or the content.
        logger.error("provider %s, while %s: %s", self.name, step, type(error).__name__)
