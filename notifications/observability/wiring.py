"""Connects the signals to the logs and to what counts: the dashboard's minutes, the metrics where
prometheus_client is installed, and OpenTelemetry where TRACING is on.

They are loaded when there is something to tell: many a process only starts and never has.
"""

from importlib import import_module
from importlib.util import find_spec

from .. import signals
from ..conf import lenient_settings
from ..late import late

RECEIVERS = (
    (signals.notification_accepted, "logs.log_accepted"),
    (signals.attempts_finished, "logs.log_attempts"),
    (signals.notifications_settled, "logs.log_settled"),
    (signals.receipts_received, "logs.log_receipts"),
    (signals.receipt_dismissed, "logs.log_dismissed"),
    (signals.rows_snoozed, "logs.log_snoozed"),
    (signals.rows_rescued, "logs.log_rescued"),
    (signals.writes_fenced, "logs.log_fenced"),
    (signals.circuit_changed, "logs.log_circuit"),
    (signals.provider_slowed, "logs.log_slowed"),
    (signals.notification_accepted, "minutes.count_accepted"),
    (signals.attempts_finished, "minutes.count_attempts"),
    (signals.notifications_settled, "minutes.count_settled"),
)

METRICS = (
    (signals.notification_accepted, "metrics.count_accepted"),
    (signals.attempts_finished, "metrics.count_attempts"),
    (signals.notifications_settled, "metrics.count_settled"),
    (signals.receipts_received, "metrics.count_receipts"),
    (signals.receipt_dismissed, "metrics.count_dismissed"),
    (signals.rows_snoozed, "metrics.count_snoozed"),
    (signals.rows_rescued, "metrics.count_rescued"),
    (signals.writes_fenced, "metrics.count_fenced"),
    (signals.limiter_degraded, "metrics.count_limiter_degraded"),
    (signals.consumer_restarted, "metrics.count_consumer_restart"),
)

for signal, name in (*RECEIVERS, *(METRICS if find_spec("prometheus_client") else ())):
    signal.connect(late(f"observability.{name}"), weak=False)

if lenient_settings().tracing:
    import_module("notifications.observability.spans").start()
