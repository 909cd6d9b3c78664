"""OpenTelemetry: accept, task and provider as one trace, over the broker and the database.

The row keeps the context of the span that accepted it; no message carries any. A task for one
notification is a child of that span. One for many belongs to no single trace: it is linked to all,
and each attempt stands in the trace of its own notification, linked to the task. Spans name no
recipient and no content. Loaded only where TRACING is on.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from celery.signals import task_postrun, task_prerun

from .. import signals, tracing
from ..context import origin
from ..enums import AttemptOutcome, Channel
from ..messages import Outcome
from ..models import Notification

try:
    from opentelemetry import context, trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise ImportError(
        'TRACING needs OpenTelemetry: pip install "django-notifications-engine[otel]"'
    ) from error

TASKS = frozenset(channel.task for channel in Channel)

_tracer = trace.get_tracer("notifications")
_propagator = TraceContextTextMapPropagator()


class Task(NamedTuple):
    """The span of the task at hand, and what takes it away again."""

    span: trace.Span
    token: Any


_began: ContextVar[int | None] = ContextVar("notifications_task_began", default=None)
_task: ContextVar[Task | None] = ContextVar("notifications_task", default=None)


def start() -> None:
    """Make spans from now on, with whatever provider of tracers the project has set."""
    tracing.use(accepting)
    task_prerun.connect(begin_task)
    task_postrun.connect(end_task)
    signals.rows_claimed.connect(trace_task)
    signals.attempts_finished.connect(trace_attempts)


def stop() -> None:
    tracing.use()
    task_prerun.disconnect(begin_task)
    task_postrun.disconnect(end_task)
    signals.rows_claimed.disconnect(trace_task)
    signals.attempts_finished.disconnect(trace_attempts)


@contextmanager
def accepting(count: int) -> Iterator[str]:
    """Around the storing of `count`; within the trace of the caller, or of the HTTP client."""
    with _tracer.start_as_current_span(
        "notifications accept",
        context=None if _is_within_span() else _context_of(origin().traceparent),
        kind=trace.SpanKind.PRODUCER,
        attributes={"messaging.batch.message_count": count},
        record_exception=False,  # its text may quote a recipient
        set_status_on_exception=False,
    ) as span:
        yield _traceparent(span)


def begin_task(sender: Any = None, **_: Any) -> None:
    """What it carries is not known before it has claimed."""
    if sender.name in TASKS:
        _began.set(time.time_ns())


def trace_task(channel: str, notifications: Sequence[Notification], **_: Any) -> None:
    began = _began.get()
    if began is None or _task.get() is not None:
        return
    accepted = list(dict.fromkeys(row.trace for row in notifications if row.trace))
    alone = len(notifications) == len(accepted) == 1 and not _is_within_span()
    span = _tracer.start_span(
        f"notifications deliver {channel}",
        context=_context_of(accepted[0]) if alone else None,
        kind=trace.SpanKind.CONSUMER,
        attributes={"messaging.batch.message_count": len(notifications)},
        links=[] if alone else _links(accepted),
        start_time=began,
    )
    _task.set(Task(span, context.attach(trace.set_span_in_context(span))))


def end_task(sender: Any = None, **_: Any) -> None:
    if sender.name not in TASKS:
        return
    _began.set(None)
    task = _task.get()
    if task is not None:
        _task.set(None)
        context.detach(task.token)
        task.span.end()


def trace_attempts(
    provider: str, notifications: Sequence[Notification], outcomes: Sequence[Outcome], **_: Any
) -> None:
    ended = time.time_ns()
    for row, outcome in zip(notifications, outcomes, strict=True):
        _trace_attempt(provider, row, outcome, ended)


def _trace_attempt(provider: str, row: Notification, outcome: Outcome, ended: int) -> None:
    task = trace.get_current_span().get_span_context()
    own = _context_of(row.trace)
    apart = trace.get_current_span(own).get_span_context()
    is_apart = apart.is_valid and apart.trace_id != task.trace_id
    span = _tracer.start_span(
        f"{provider} send",
        context=own if is_apart else None,
        kind=trace.SpanKind.CLIENT,
        attributes={
            "notifications.id": str(row.pk),
            "notifications.channel": str.__str__(row.channel),
            "notifications.provider": provider,
            "notifications.attempt": row.attempt_count,
            "notifications.outcome": str.__str__(outcome.kind),
            "notifications.code": outcome.code,
        },
        links=[trace.Link(task)] if is_apart and task.is_valid else [],
        start_time=ended - round(outcome.seconds * 1e9),
    )
    if outcome.kind is not AttemptOutcome.ACCEPTED:
        span.set_status(trace.Status(trace.StatusCode.ERROR, outcome.code))
    span.end(ended)


def _is_within_span() -> bool:
    return trace.get_current_span().get_span_context().is_valid


def _context_of(traceparent: str) -> context.Context:
    """Of what was said elsewhere; an empty one where that is nothing, or nonsense."""
    return _propagator.extract({"traceparent": traceparent}, context.Context())


def _links(traceparents: Sequence[str]) -> list[trace.Link]:
    found = (trace.get_current_span(_context_of(text)) for text in traceparents)
    return [trace.Link(span.get_span_context()) for span in found]


def _traceparent(span: trace.Span) -> str:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span))
    return carrier.get("traceparent", "")
