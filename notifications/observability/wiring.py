"""Connects the signals to what counts: the dashboard's minutes, and metrics where there are any."""

from importlib.util import find_spec

from .. import signals
from . import minutes

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
