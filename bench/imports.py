"""`manage.py import_notifications`: how fast, in how much memory, and whether it survives.

The file is imported as another tenant's, undisturbed, for the rate; and then with three SIGKILLs
on its way. Each row must be there once afterwards, or this ends with an error.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from tqdm import tqdm

from tests.processes import Process, wait_until

from .report import Bar, Row
from .stack import Environment, Stack

COUNT, SMALL = 200_000, 60_000
"""Until about 50,000 rows the allocator and the database's driver still grow, and then no more."""

QUICK_COUNT, QUICK_SMALL = 4_000, 2_000
KILLS = 3
MEGABYTE = 1_000_000

TOTAL = "SELECT count(*) FROM notifications_notification n JOIN notifications_tenant t "
OF_TENANT = f"{TOTAL} ON t.id = n.tenant_id WHERE t.name = '{{}}'"
DISTINCT = OF_TENANT.replace("count(*)", "count(DISTINCT n.idempotency_key)")

Ask = Callable[[str], int]


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """One pass on either database, whatever `repeat` says."""
    count, small = (QUICK_COUNT, QUICK_SMALL) if quick else (COUNT, SMALL)
    rows: list[Row] = []
    with tqdm(total=4 * (count + small), unit="row", desc="imports") as bar:
        with stack.database() as url:
            env = stack.on_redis(url)
            with psycopg.connect(url, autocommit=True) as connection:
                rows += _measure("PostgreSQL", stack, env, _asking(connection), (count, small), bar)
        path = stack.directory / "imports.sqlite3"
        env = stack.environment(f"sqlite:///{path}")
        stack.processes.manage(env, "migrate")
        with closing(sqlite3.connect(path, timeout=30)) as database:
            rows += _measure("SQLite", stack, env, _asking(database), (count, small), bar)
    return rows


def _asking(connection: Any) -> Ask:
    return lambda question: int(connection.execute(question).fetchone()[0])


def _measure(
    name: str, stack: Stack, env: Environment, ask: Ask, counts: tuple[int, int], bar: "tqdm[Any]"
) -> list[Row]:
    count, small = counts
    rate = Row(f"imports: {count:,} rows on {name}, start and end included", "/s")
    memory = Row(
        f"imports: most memory held, {count:,} rows on {name}",
        "MB",
        f"the same for {small:,} rows",
        Bar(1.1, of="ratio", at_most=True),
    )
    few, many = _file(stack.directory, small), _file(stack.directory, count)
    for tenant in ("small", "undisturbed", "killed"):
        stack.make_key(env, tenant)
    memory.baseline.append(_undisturbed(stack, env, few, "small"))
    bar.update(small)
    begun = time.monotonic()
    memory.product.append(_undisturbed(stack, env, many, "undisturbed"))
    rate.product.append(count / (time.monotonic() - begun))
    bar.update(count)
    _killed(stack, env, many, ask, count)
    for tenant, expected in (("small", small), ("undisturbed", count), ("killed", count)):
        found = ask(OF_TENANT.format(tenant)), ask(DISTINCT.format(tenant))
        assert found == (expected, expected), f"{tenant}: {found} instead of {expected} rows"
    bar.update(count + small)
    return [rate, memory]


def _file(directory: Path, count: int) -> Path:
    path = directory / f"{count}.csv"
    with path.open("w") as file:
        file.write("channel,to,body\n")
        file.writelines(f"sms,+14155550123,Hello {n}\n" for n in range(count))
    return path


def _undisturbed(stack: Stack, env: Environment, path: Path, tenant: str) -> float:
    """The most memory that it held, in megabytes."""
    process = _start(stack, env, path, tenant)
    most = 0.0
    while process.is_running():
        most = max(most, _peak(process.pid))
        time.sleep(0.05)
    assert process.wait() == 0, process.text()
    assert " 0 rejected" in process.text(), process.text()
    return most


def _killed(stack: Stack, env: Environment, path: Path, ask: Ask, count: int) -> None:
    question = OF_TENANT.format("killed")
    for number in range(1, KILLS + 1):
        process = _start(stack, env, path, "killed")
        least = count * number // (KILLS + 2)

        def has_come(least: int = least, process: Process = process) -> bool:
            return ask(question) >= least or not process.is_running()

        wait_until(has_come, 300, every=0.01)
        assert process.is_running(), f"it ended before it was killed: {process.text()}"
        process.kill()
    there = ask(question)
    assert there < count, "nothing was left to go on with"
    process = _start(stack, env, path, "killed")
    assert process.wait(600) == 0, process.text()
    assert f"{count - there:,} accepted, {there:,} there already" in process.text()


def _start(stack: Stack, env: Environment, path: Path, tenant: str) -> Process:
    command = ["python", "manage.py", "import_notifications", str(path), "--tenant", tenant]
    return stack.processes.start("import", command, env)


def _peak(pid: int) -> float:
    """What Linux has seen it hold at most; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    kilobytes = next((line for line in status.splitlines() if line.startswith("VmHWM")), "x 0 kB")
    return int(kilobytes.split()[1]) * 1024 / MEGABYTE
