"""What draining is measured against: the statements of the pipeline, without Django or Celery.

`python -m bench.sql_loop URL` takes what is owed in rounds, claims it in batches, marks and
settles it in windows, as the product does with the simulated provider, until nothing waits.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from uuid import UUID, uuid4

import psycopg

ROUND = 500
"""Less than the product's dispatcher takes at once, so that both processes end together."""

BATCH, WINDOW = 100, 20
IDLE_SECONDS = 0.02

IS_WAITING = "state IN ('queued', 'retry_wait', 'scheduled')"
ANY_WAITING = f"SELECT EXISTS (SELECT FROM notifications_notification WHERE {IS_WAITING})"

OWED = f"""
    SELECT id FROM notifications_notification
    WHERE state IN ('queued', 'scheduled') AND channel = 'sms' AND priority = 1
        AND publish_at <= statement_timestamp() AND tenant_id = 1
    ORDER BY publish_at LIMIT {ROUND} FOR UPDATE SKIP LOCKED
"""
HINT = f"""
    UPDATE notifications_notification
    SET publish_at = statement_timestamp() + interval '30 s'
    WHERE {IS_WAITING} AND id = ANY(%(ids)s)
"""
DUE = f"""
    SELECT n.*, t.* FROM notifications_notification n
    JOIN notifications_tenant t ON t.id = n.tenant_id
    WHERE n.id = ANY(%(ids)s) AND {IS_WAITING} AND due_at <= statement_timestamp()
        AND (expires_at IS NULL OR expires_at > statement_timestamp()) AND NOT cancel_requested
    FOR UPDATE OF n SKIP LOCKED
"""
CLAIM = f"""
    UPDATE notifications_notification
    SET state = 'leased', lease_token = %(token)s,
        lease_until = statement_timestamp() + interval '60 s',
        publish_at = statement_timestamp() + interval '60 s'
    WHERE id = ANY(%(ids)s) AND {IS_WAITING}
"""
MARK = """
    UPDATE notifications_notification
    SET state = 'dispatching', attempt_count = attempt_count + 1, provider = 'simulated',
        dispatched_at = clock_timestamp(), wait_reason = '', wait_scope = ''
    WHERE id = ANY(%(ids)s) AND state = 'leased' AND lease_token = %(token)s
        AND (expires_at IS NULL OR expires_at > clock_timestamp()) AND NOT cancel_requested
        AND lease_until > clock_timestamp() + interval '12 s'
"""
SETTLE = """
    UPDATE notifications_notification n
    SET state = 'sent', sent_at = statement_timestamp(), settled_at = statement_timestamp(),
        receipt_state = CASE WHEN receipt_state < 30 THEN 30 ELSE receipt_state END,
        provider_message_id = ended.message_id, error_code = '', error_detail = '',
        cancel_requested = false
    FROM unnest(%(ids)s::uuid[], %(message_ids)s::text[]) AS ended (id, message_id)
    WHERE n.id = ended.id AND n.state IN ('dispatching', 'retry_wait', 'unknown')
        AND n.lease_token = %(token)s
"""
ATTEMPTS = """
    INSERT INTO notifications_attempt
        (notification_id, number, provider, outcome, code, detail, duration_ms)
    SELECT id, 1, 'simulated', 'accepted', '', '', 0
    FROM unnest(%(ids)s::uuid[]) AS id
    ON CONFLICT (notification_id, number) DO UPDATE
    SET outcome = excluded.outcome, code = excluded.code, detail = excluded.detail,
        duration_ms = excluded.duration_ms, finished_at = excluded.finished_at
"""
RECEIPTS = """
    INSERT INTO notifications_receipt
        (notification_id, provider, event_id, kind)
    SELECT id, 'simulated', id || ':1:delivered', 30
    FROM unnest(%(ids)s::uuid[]) AS id
    ON CONFLICT DO NOTHING
"""


def main(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        print("ready", flush=True)
        while _is_any_waiting(connection):
            owed = _take_round(connection)
            for ids in _chunks(owed, BATCH):
                _deliver(connection, ids)
            if not owed:
                time.sleep(IDLE_SECONDS)


def _is_any_waiting(connection: psycopg.Connection) -> bool:
    return connection.execute(ANY_WAITING).fetchone() == (True,)


def _take_round(connection: psycopg.Connection) -> list[UUID]:
    with connection.transaction():
        ids = [id for (id,) in connection.execute(OWED)]
        if ids:
            connection.execute(HINT, {"ids": ids})
    return ids


def _deliver(connection: psycopg.Connection, ids: Sequence[UUID]) -> None:
    token = uuid4()
    with connection.transaction():
        claimed = [row[0] for row in connection.execute(DUE, {"ids": ids})]
        connection.execute(CLAIM, {"ids": claimed, "token": token})
    windows = list(_chunks(claimed, WINDOW))
    if windows:
        connection.execute(MARK, {"ids": windows[0], "token": token})
    for window, following in zip_longest(windows, windows[1:]):
        with connection.transaction():
            values = {"ids": window, "token": token}
            message_ids = [f"sim-{id}-1" for id in window]
            connection.execute(SETTLE, {**values, "message_ids": message_ids})
            for statement in (ATTEMPTS, RECEIPTS):
                connection.execute(statement, values)
            if following:
                connection.execute(MARK, {"ids": following, "token": token})


def _chunks(ids: Sequence[UUID], size: int) -> Iterator[list[UUID]]:
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


if __name__ == "__main__":
    main(sys.argv[1])
