"""Who is owed a broker message: the tenants of each lane, found by steps through an index.

From one tenant to the next it takes a step, whatever lies between them, and one more to see
whether its oldest row is due: a million waiting rows of one tenant cost as much as one. The
ORM cannot say that. What it would say, EXISTS for each tenant, PostgreSQL turns into a join
that read all 200,000 waiting rows (114 ms against 0.15 ms, measured, 2026-11).
"""

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from ..enums import Channel, Priority, State
from ..lifecycle import FRESH, TRIED
from ..models import Notification, Tenant
from . import database


class Lane(NamedTuple):
    """A queue's worth: one channel at one priority. The most urgent sort first."""

    priority: Priority
    channel: Channel


class Owed(NamedTuple):
    """A tenant that a lane owes something; `id` is the tenant's."""

    id: int
    name: str


Owing = dict[Lane, list[Owed]]

CLOCK = {
    "postgresql": "STATEMENT_TIMESTAMP()",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')",  # as Django writes its times there
}

STEPS = """
    WITH RECURSIVE step(kind, channel, priority, tenant_id) AS (
        {lanes}
        UNION ALL
        SELECT kind, channel, priority, CASE kind WHEN 0 THEN (
            SELECT MIN(n.tenant_id) FROM {notification} n
            WHERE n.state IN ({fresh}) AND n.channel = step.channel
            AND n.priority = step.priority AND n.tenant_id > step.tenant_id
        ) ELSE (
            SELECT MIN(n.tenant_id) FROM {notification} n
            WHERE n.state IN ({tried}) AND n.channel = step.channel
            AND n.priority = step.priority AND n.tenant_id > step.tenant_id
        ) END
        FROM step WHERE tenant_id IS NOT NULL
    )
    SELECT step.kind, step.priority, step.channel, tenant.id, tenant.name
    FROM step JOIN {tenant} tenant ON tenant.id = step.tenant_id
    WHERE CASE kind WHEN 0 THEN (
        SELECT n.publish_at FROM {notification} n
        WHERE n.state IN ({fresh}) AND n.channel = step.channel
        AND n.priority = step.priority AND n.tenant_id = step.tenant_id
        ORDER BY n.publish_at LIMIT 1
    ) ELSE (
        SELECT n.publish_at FROM {notification} n
        WHERE n.state IN ({tried}) AND n.channel = step.channel
        AND n.priority = step.priority AND n.tenant_id = step.tenant_id
        ORDER BY n.publish_at LIMIT 1
    ) END <= {clock}
    ORDER BY step.kind, step.priority, step.channel, tenant.id
"""


def owing() -> tuple[Owing, Owing]:
    """Who waits for a first attempt, and who for another; one statement for all lanes."""
    found: tuple[Owing, Owing] = defaultdict(list), defaultdict(list)
    with database.connection().cursor() as cursor:
        cursor.execute(_sql(), [])
        for kind, priority, channel, id, name in cursor.fetchall():
            found[kind][Lane(Priority(priority), Channel(channel))].append(Owed(id, name))
    return found


def _sql() -> str:
    connection = database.connection()
    quote = connection.ops.quote_name
    return STEPS.format(
        lanes=_lanes(),
        fresh=_words(FRESH),
        tried=_words(TRIED),
        notification=quote(Notification._meta.db_table),
        tenant=quote(Tenant._meta.db_table),
        clock=CLOCK[connection.vendor],
    )


def _lanes() -> str:
    """Where the steps begin: before the first tenant of each lane, once for either kind."""
    small, big = "CAST({} AS smallint)", "CAST(0 AS bigint)"
    return " UNION ALL ".join(
        f"SELECT {small.format(kind)}, CAST('{channel.value}' AS varchar(10)), "
        f"{small.format(priority.value)}, {big}"
        for kind in (0, 1)
        for priority in Priority
        for channel in Channel
    )


def _words(states: Collection[State]) -> str:
    """As the indexes' own conditions have them: SQLite recognises one by its words alone."""
    return ", ".join(f"'{state.value}'" for state in sorted(states))
