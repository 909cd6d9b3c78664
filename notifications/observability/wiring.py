"""Connects the signals to the logs and to what counts: the dashboard's minutes, the metrics where
prometheus_client is installed, and OpenTelemetry where TRACING is on.
"""

from importlib import import_module
from importlib.util import find_spec

from .. import signals
from ..conf import lenient_settings
from . import logs, minutes

signals.notification_accepted.connect(logs.log_accepted)
signals.attempts_finished.connect(logs.log_attempts)
signals.notifications_settled.connect(logs.log_settled)
signals.receipts_received.connect(logs.log_receipts)
signals.receipt_dismissed.connect(logs.log_dismissed)
signals.rows_snoozed.connect(logs.log_snoozed)
signals.rows_rescued.connect(logs.log_rescued)
signals.writes_fenced.connect(logs.log_fenced)
signals.circuit_changed.connect(logs.log_circuit)
signals.provider_slowed.connect(logs.log_slowed)
signals.notification_accepted.connect(minutes.count_accepted)
signals.attempts_finished.connect(minutes.count_attempts)
signals.notifications_settled.connect(minutes.count_settled)

if find_spec("prometheus_client"):
    from . import metrics

    signals.notification_accepted.connect(metrics.count_accepted)
    signals.attempts_finished.connect(metrics.count_attempts)
    signals.notifications_settled.connect(metrics.count_settled)
    signals.receipts_received.connect(metrics.count_receipts)
    signals.receipt_dismissed.connect(metrics.count_dismissed)
    signals.rows_snoozed.connect(metrics.count_snoozed)
    signals.rows_rescued.connect(metrics.count_rescued)
    signals.writes_fenced.connect(metrics.count_fenced)
    signals.limiter_degraded.connect(metrics.count_limiter_degraded)
    signals.consumer_restarted.connect(metrics.count_consumer_restart)

if lenient_settings().tracing:
    import_module("notifications.observability.spans").start()
