"""How log records are written: lines for people, JSON for machines; for `LOGGING`.

An event is a record of its own kind: one record holds all those of a commit, and each becomes a
line. Of an exception only its type and place are written, because its text may quote what nobody
should read in a log: databases and mail servers repeat what they were given.
"""

import json
import logging
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from celery import current_task

from ..context import origin

EVENTS = "notifications.events"
"""The logger of all events: its level switches them."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
FRAMES = 20

Event = Mapping[str, Any]


def logging_config(
    format: str = "line", *, level: str = "INFO", events: bool = True, debug: bool = False
) -> dict[str, Any]:
    """A value for Django's `LOGGING`: everything to stderr, as `line` or as `json`.

    Without `events`, what becomes of each notification is not told. `debug` writes exceptions out.
    """
    name = {"line": "LineFormatter", "json": "JSONFormatter"}[format]
    formatter = {"()": f"{__name__}.{name}", "debug": debug}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"notifications": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "notifications"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers would write the same lines a second time, in another shape.
            "django": {"handlers": [], "level": level},
            # Below this they write down what they are given: recipients, contents, signatures.
            "django.db.backends": {"level": "INFO"},
            "botocore": {"level": "INFO"},
            EVENTS: {"level": level if events else "WARNING"},
        },
    }


class Events:
    """The message of a record that holds many events; other formatters show it as lines."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.events: Sequence[Event] = list(events)

    def __str__(self) -> str:
        return "\n".join(map(_words, self.events))


class JSONFormatter(logging.Formatter):
    """A line of JSON for each event, and for each other record."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__()
        self.debug = debug

    def format(self, record: logging.LogRecord) -> str:
        common = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            **_joined(record),
        }
        return "\n".join(_dump({**common, **event}) for event in self._events(record))

    def _events(self, record: logging.LogRecord) -> Iterable[Event]:
        if isinstance(record.msg, Events):
            return record.msg.events
        message: dict[str, Any] = {"message": record.getMessage()}
        if record.exc_info and record.exc_info[0]:
            kind, error, trace = record.exc_info
            message["error"] = {"type": kind.__qualname__, "at": _places(trace)}
            if self.debug:
                message["error"]["text"] = str(error)
        return [message]


class LineFormatter(logging.Formatter):
    """A readable line for each event, and for each other record."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__()
        self.debug = debug

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone()
        start = f"{time:%Y-%m-%d %H:%M:%S} {record.levelname:<7} "
        return "\n".join(start + line for line in self._lines(record))

    def _lines(self, record: logging.LogRecord) -> Iterator[str]:
        if isinstance(record.msg, Events):
            yield from map(_words, record.msg.events)
            return
        yield f"{record.name}: {_clean(record.getMessage())}"
        if record.exc_info and record.exc_info[0]:
            kind, error, trace = record.exc_info
            for place in _places(trace):
                yield f"    at {place}"
            yield f"    {kind.__qualname__}" + (f": {_clean(str(error))}" if self.debug else "")


def _joined(record: logging.LogRecord) -> dict[str, str]:
    """The ids of the request and of the task that this happens in."""
    # Django tells of a bad answer when the view is done with it, and shows the request.
    shown = getattr(getattr(record, "request", None), "notifications_request_id", "")
    task = current_task.request.id if current_task else ""
    found = {"request": origin().request_id or shown, "task": task}
    return {name: id for name, id in found.items() if id}


def _words(event: Event) -> str:
    first, *others = event.items()
    return _clean(" ".join([str(first[1]), *(f"{name}={value}" for name, value in others)]))


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, default=str, separators=(",", ":"))


def _clean(text: str) -> str:
    """What was logged must not be able to begin a line of its own, or to move the cursor."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def _places(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)[-FRAMES:]
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
