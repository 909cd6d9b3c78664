"""What one notification costs: room on the disk, write-ahead log, commits, CPU of each part.

None of it depends on how fast the machine is, except for the CPU. Capacity is reckoned from it
in `docs/scaling.md`. The baseline is a table that holds the same message and nothing else.
"""

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg
from tqdm import tqdm

from tests.processes import ROOT, Process, wait_until

from .report import Row
from .stack import Environment, Stack

COUNT, QUICK_COUNT = 10_000, 300
TABLES = ("notification", "attempt", "receipt")
TIMEOUT_SECONDS = 300

BARE = """
    CREATE TABLE bare (id uuid PRIMARY KEY, recipient text, content jsonb);
    INSERT INTO bare SELECT id, "to", content FROM notifications_notification
"""
COUNTERS = """
    SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, xact_commit
    FROM pg_stat_database WHERE datname = current_database()
"""
DONE = "SELECT count(*) FROM notifications_notification WHERE settled_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment: bytes of log, commits, CPU seconds of PostgreSQL."""

    log: float
    commits: float
    cpu: float


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Accepted in calls of 1,000 from Python, delivered by one worker without latency."""
    count = QUICK_COUNT if quick else COUNT
    rows = {name: Row(f"cost: {name}", unit, _BASELINE) for name, unit in _UNITS.items()}
    with tqdm(total=2 * repeat * count, unit="row", desc="cost") as bar:
        for _ in range(repeat):
            for name, (product, baseline) in _measure(stack, count, bar).items():
                rows[name].product.append(product)
                rows[name].baseline.append(baseline)
    return list(rows.values())


_BASELINE = "a table of ids, recipients and contents, filled by one statement; no CPU, no delivery"

_UNITS = {
    "on the disk": "bytes",
    "log to accept": "bytes",
    "log to deliver": "bytes",
    "commits to deliver": "a thousand",
    "CPU to accept, Python": "µs",
    "CPU to accept, PostgreSQL": "µs",
    "CPU to deliver, Python": "µs",
    "CPU to deliver, PostgreSQL": "µs",
}

Costs = dict[str, tuple[float, float]]


def _measure(stack: Stack, count: int, bar: "tqdm[Any]") -> Costs:
    stack.empty_redis()
    with stack.database() as url:
        env = stack.on_redis(url)
        with psycopg.connect(url, autocommit=True) as connection:
            start = _read(stack, connection)
            accepting = _accept(env, count)
            accepted = _read(stack, connection)
            bar.update(count)
            delivering = _deliver(stack, env, connection, count)
            delivered = _read(stack, connection)
            bar.update(count)
            size, (bare_size, bare_log) = _size(connection, TABLES), _bare(stack, connection)
    each = 1 / count
    return {
        "on the disk": (size * each, bare_size * each),
        "log to accept": ((accepted.log - start.log) * each, bare_log * each),
        "log to deliver": ((delivered.log - accepted.log) * each, 0.0),
        "commits to deliver": ((delivered.commits - accepted.commits) * each * 1000, 0.0),
        "CPU to accept, Python": (accepting * each * 1e6, 0.0),
        "CPU to accept, PostgreSQL": ((accepted.cpu - start.cpu) * each * 1e6, 0.0),
        "CPU to deliver, Python": (delivering * each * 1e6, 0.0),
        "CPU to deliver, PostgreSQL": ((delivered.cpu - accepted.cpu) * each * 1e6, 0.0),
    }


def _accept(env: Environment, count: int) -> float:
    """Accept so many; CPU seconds of the process, without those of starting it."""
    return _accepting(env, count) - _accepting(env, 0)


def _accepting(env: Environment, count: int) -> float:
    command = [sys.executable, "-m", "tests.racing.accept", str(count)]
    before = psutil.Process().cpu_times()
    subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = psutil.Process().cpu_times()
    return after.children_user + after.children_system - _children(before)


def _children(times: Any) -> float:
    return float(times.children_user + times.children_system)


def _deliver(stack: Stack, env: Environment, connection: Any, count: int) -> float:
    """Deliver all; CPU seconds of the worker from when it is ready."""
    with connection.transaction():
        connection.execute("SELECT FROM notifications_notification FOR UPDATE")
        worker = stack.processes.worker(env, "-c", "1")
        time.sleep(2)  # the first tick and what it loads
        before = _cpu(worker)
    wait_until(
        lambda: connection.execute(DONE).fetchone() == (count,), TIMEOUT_SECONDS, "delivered"
    )
    spent = _cpu(worker) - before
    worker.stop()
    return spent


def _cpu(process: Process) -> float:
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return sum(times.user + times.system for times in (p.cpu_times() for p in family))


def _read(stack: Stack, connection: Any) -> Reading:
    connection.execute("SELECT pg_stat_force_next_flush()")
    log, commits = connection.execute(COUNTERS).fetchone()
    return Reading(float(log), float(commits), _postgres_cpu(stack, connection))


def _postgres_cpu(stack: Stack, connection: Any) -> float:
    """CPU seconds of the server, of backends that have ended too."""
    pid = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
    server = psutil.Process(pid).parent()
    assert server is not None
    own = server.cpu_times()
    living = (child.cpu_times() for child in server.children())
    return own.user + own.system + _children(own) + sum(t.user + t.system for t in living)


def _size(connection: Any, tables: tuple[str, ...]) -> float:
    """Bytes of the tables with all their indexes, without what updates have left behind."""
    for table in tables:
        connection.execute(f"VACUUM FULL notifications_{table}")
    sizes = (f"pg_total_relation_size('notifications_{table}')" for table in tables)
    return float(connection.execute(f"SELECT {' + '.join(sizes)}").fetchone()[0])


def _bare(stack: Stack, connection: Any) -> tuple[float, float]:
    before = _read(stack, connection)
    connection.execute(BARE)
    written = _read(stack, connection).log - before.log
    return float(connection.execute("SELECT pg_total_relation_size('bare')").fetchone()[0]), written
