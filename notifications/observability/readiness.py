"""Can what is accepted here be sent: the database, the broker, a worker."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from celery import current_app
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from ..labels import a_word, phrase
from ..models import Worker

BROKER_SECONDS = 1.0
WORKER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that must work; `detail` names no host, user or secret."""

    name: str
    ok: bool
    detail: str


def check_all() -> list[Part]:
    """Every part, looked at now; takes little more than a second when the broker is frozen."""
    return [_database(), check_broker(), _worker()]


def check_broker() -> Part:
    """Whether the broker answers; known within about a second."""
    error = _probe.run(BROKER_SECONDS)
    if error:
        return Part("broker", False, phrase("cannot be reached ({error})", error=a_word(error)))
    return Part("broker", True, phrase("reachable"))


def _database() -> Part:
    try:
        migrated = _migrations.are_applied()
    except DatabaseError as error:
        return Part("database", False, f"cannot be reached ({type(error).__name__})")
    if not migrated:
        return Part("database", False, "migrations are missing; run manage.py migrate")
    return Part("database", True, "reachable and migrated")


def _worker() -> Part:
    try:
        seen = Worker.objects.seen_within(WORKER_SECONDS).exists()
    except DatabaseError as error:
        return Part("worker", False, f"cannot be told ({type(error).__name__})")
    within = f"the last {WORKER_SECONDS:g} s"
    return Part("worker", seen, f"seen in {within}" if seen else f"none seen in {within}")


class _Migrations:
    """Remembers that all was migrated; until then it reads the migrations each time."""

    def __init__(self) -> None:
        self._applied = False

    def are_applied(self) -> bool:
        connection = connections[Worker.objects.db]
        if self._applied:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        else:
            executor = MigrationExecutor(connection)
            self._applied = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        return self._applied


class _Probe:
    """Tries something in a thread of its own, since a frozen broker may never answer.

    At most one thread hangs: while it does, the answer is known.
    """

    def __init__(self, attempt: Callable[[], None]) -> None:
        self._attempt = attempt
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._error = ""

    def run(self, seconds: float) -> str:
        """What is wrong, in a word; empty when nothing is."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._try, name="readiness", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(seconds)
        return "no answer in time" if thread.is_alive() else self._error

    def _try(self) -> None:
        try:  # every transport has errors of its own
            self._attempt()
        except Exception as error:
            self._error = type(error).__name__
        else:
            self._error = ""


def _greet_broker() -> None:
    # A round trip on every transport: Redis is pinged, AMQP shakes hands.
    with current_app.connection_for_write(connect_timeout=BROKER_SECONDS) as connection:
        connection.ensure_connection(max_retries=0)


_probe = _Probe(_greet_broker)
_migrations = _Migrations()
