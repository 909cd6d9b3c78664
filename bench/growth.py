"""Draining out of a large table, against the same out of one that holds little else.

A million are finished, with their attempts and receipts, and 200,000 of ten tenants are due; the
first so many that two workers settle are what counts. Both tables are vacuumed and
analyzed, and what filling them left to be written is written.
"""

from typing import Any

import psycopg
from tqdm import tqdm

from . import fill
from .backlog import attempts, held_back, stop, wait_for_attempts, workers
from .report import Bar, Row
from .stack import Stack

COUNT, FINISHED, WAITING = 20_000, 1_000_000, 200_000
QUICK_COUNT, QUICK_FINISHED, QUICK_WAITING = 400, 2_000, 1_000
SURPLUS = 1.2
"""How much more than is counted waits in the small table, so that neither is at its end."""

SPAN = """
    SELECT count(*), extract(epoch FROM max(settled_at) - min(settled_at))::float FROM (
        SELECT settled_at FROM notifications_notification
        WHERE state = 'sent' AND settled_at >= %s ORDER BY settled_at LIMIT %s
    ) AS first
"""
TOTALS = """
    SELECT (SELECT count(*) FROM notifications_notification WHERE state = 'sent'),
           (SELECT count(*) FROM notifications_notification WHERE state <> 'queued'),
           (SELECT count(DISTINCT notification_id) FROM notifications_attempt),
           (SELECT count(*) FROM notifications_attempt),
           (SELECT count(*) FROM notifications_receipt)
"""


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """What was settled must have one attempt and one receipt, whatever was left."""
    count = QUICK_COUNT if quick else COUNT
    finished, waiting = (QUICK_FINISHED, QUICK_WAITING) if quick else (FINISHED, WAITING)
    row = Row(
        f"growth: {count:,} out of {finished + waiting:,}",
        "/s",
        f"the same number out of {count * SURPLUS:,.0f}",
        Bar(0.8, of="ratio"),
    )
    small = round(count * SURPLUS)
    total = finished + waiting + repeat * (2 * count + small + count)
    bar = tqdm(total=total, unit="row")
    with bar, fill.originals(stack) as template, stack.database(template) as large:
        bar.set_description("growth, filling")
        fill.add_finished(large, finished, bar)
        fill.add_waiting(large, waiting, bar)
        for _ in range(repeat):
            row.product.append(_measure(stack, large, count, "large", bar))
            fill.add_waiting(large, count, bar)
            with stack.database(template) as url:
                fill.add_waiting(url, small, bar)
                row.baseline.append(_measure(stack, url, count, "small", bar))
    return [row]


def _measure(stack: Stack, url: str, count: int, name: str, bar: "tqdm[Any]") -> float:
    """Notifications settled a second, of the first `count`."""
    bar.set_description(f"growth, {name}")
    stack.empty_redis()
    fill.settle_down(url)
    with psycopg.connect(url, autocommit=True) as connection:
        [began] = connection.execute("SELECT clock_timestamp()").fetchone() or ()
        target = attempts(connection) + count
        with held_back(url):
            started = workers(stack, stack.on_redis(url))
        wait_for_attempts(connection, target, bar)
        stop(started)
        settled, seconds = connection.execute(SPAN, [began, count]).fetchone() or ()
        totals = connection.execute(TOTALS).fetchone() or ()
    assert settled == count
    assert len(set(totals)) == 1, f"sent, taken, attempted, attempts, receipts: {totals}"
    return count / float(seconds)
