"""How PostgreSQL would execute what is executed: its plans, noted on the way."""

from collections.abc import Callable
from typing import Any

from django.db import connections

Execute = Callable[..., Any]


def explaining(plans: list[str], *words: str) -> Execute:
    """A wrapper of executions that adds the plan of each statement with one of the `words`."""

    def execute(run: Execute, sql: str, params: Any, many: bool, context: Any) -> Any:
        if any(word in sql for word in words):
            plans.append(explain(sql, params))
        return run(sql, params, many, context)

    return execute


def explain(sql: str, params: Any = None, *, options: str = "") -> str:
    """The plan of one statement, in the ORM's words or in PostgreSQL's own."""
    connection: Any = connections["default"]
    database = connection.Database
    own = database.RawCursor if "$1" in sql else database.ClientCursor
    with own(connection.connection) as cursor:
        return "\n".join(line for (line,) in cursor.execute(f"EXPLAIN {options} {sql}", params))


def is_by_key(plan: str) -> bool:
    """Whether notifications are found by their ids, or by their tenant's and theirs."""
    by_tenant = "notifications_newest_idx" in plan and "(tenant_id = " in plan
    is_whole = "Seq Scan on notifications_notification" in plan
    return not is_whole and ("notifications_notification_pkey" in plan or by_tenant)
