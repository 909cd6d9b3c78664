"""Draining e-mails over SMTP, against django-post_office; then both under `kill -9`.

One mail server takes them all and writes each down: what counts is its record, from the first
message to the last, and which of them came more than once.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import psutil
import psycopg
from tqdm import tqdm

from notifications.conf import SIMULATED
from tests.processes import ROOT, wait_until
from tests.servers.postgres import new_database

from .report import Bar, Row
from .stack import Environment, Stack

COUNT, QUICK_COUNT = 10_000, 300
KILLS, QUICK_KILLS = 8, 1
KILL_SECONDS = 1.0
TIMEOUT_SECONDS = 300

PACKAGES = ("django-post_office==3.12.0", "nh3==0.3.8")
"""Installed beside the product, where nothing else finds them; Django is the product's own."""

POST_OFFICE_IS = f"{PACKAGES[0].replace('==', ' ')}, send_queued_mail --processes 2"
POST_OFFICE = {
    "DJANGO_SETTINGS_MODULE": "bench.post_office",
    "POST_OFFICE_BATCH_SIZE": "1000",
    "POST_OFFICE_THREADS": "1",
}
LOCK_ALL = "SELECT FROM notifications_notification FOR UPDATE"
NOT_DONE = "SELECT count(*) FROM notifications_notification WHERE state NOT IN ('sent', 'unknown')"
UNKNOWN = "SELECT count(*) FROM notifications_notification WHERE state = 'unknown'"


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Without kills every e-mail must have come once; with them, none may be missing."""
    count, kills = (QUICK_COUNT, QUICK_KILLS) if quick else (COUNT, KILLS)
    name = f"smtp: {count:,} e-mails of text and HTML, 2 processes"
    drain = Row(name, "/s", POST_OFFICE_IS, Bar(1.3, of="ratio"))
    alone = Row("mail server: 2 senders that make nothing", "/s", "the product, as above")
    killed = f"a kill each {KILL_SECONDS:g} s, {kills} in all"
    twice = Row(f"killed: sent twice, {killed}", "", POST_OFFICE_IS, Bar(0, at_most=True))
    parked = Row("killed: parked as unknown", "", POST_OFFICE_IS)
    with _backlog(stack, Product, count) as ours, _backlog(stack, PostOffice, count) as theirs:
        for _ in tqdm(range(repeat), unit="round", desc="smtp"):
            drain.product.append(_drain(stack, Product, ours, count))
            drain.baseline.append(_drain(stack, PostOffice, theirs, count))
            alone.product.append(_ask_alone(stack, count))
            alone.baseline.append(drain.product[-1])
            for kind, template, samples in (
                (Product, ours, (twice.product, parked.product)),
                (PostOffice, theirs, (twice.baseline, parked.baseline)),
            ):
                figures = _kill(stack, kind, template, count, kills)
                for sample, figure in zip(samples, figures, strict=True):
                    sample.append(figure)
    return [drain, alone, twice, parked]


class Sender(Protocol):
    """What is to send all that a database owes."""

    def __init__(self, stack: Stack, url: str, port: int) -> None: ...

    @staticmethod
    def empty_database(stack: Stack) -> Any:
        """A context manager that gives the URL of a database with all tables."""

    @property
    def env(self) -> Environment: ...

    def start(self) -> None:
        """Begin, with two processes at once."""

    def is_done(self) -> bool: ...

    def kill(self, n: int) -> None:
        """SIGKILL, and what is done about it in operation."""

    def stop(self) -> None: ...

    def parked(self) -> int:
        """How many it does not know to be sent, and leaves to a person."""


class Product:
    """Two workers with a child each; a child that is killed is replaced by its parent."""

    def __init__(self, stack: Stack, url: str, port: int) -> None:
        self._stack, self._url = stack, url
        self.env = stack.on_redis(
            url,
            EMAIL_URL=f"smtp://127.0.0.1:{port}",
            DJANGO_SETTINGS_MODULE="tests.racing.settings",
            TEST_NOTIFICATIONS=json.dumps(_settings(stack)),
        )

    @staticmethod
    def empty_database(stack: Stack) -> Any:
        return stack.database()

    def start(self) -> None:
        """What is owed is held back by locks until both workers are there."""
        with psycopg.connect(self._url) as connection:
            connection.execute(LOCK_ALL)
            start = self._stack.processes.worker
            self._workers = [start(self.env, "-c", "1", wait=False) for _ in range(2)]
            for worker in self._workers:
                worker.wait_for_text(" ready.", timeout=60)
            time.sleep(2)  # the first tick and what it loads

    def is_done(self) -> bool:
        return self._count(NOT_DONE) == 0

    def kill(self, n: int) -> None:
        for child in psutil.Process(self._workers[n % 2].pid).children():
            child.kill()

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop()

    def parked(self) -> int:
        return self._count(UNKNOWN)

    def _count(self, sql: str) -> int:
        with psycopg.connect(self._url) as connection:
            return int((connection.execute(sql).fetchone() or (0,))[0])


class PostOffice:
    """One command with two children; without one of them it would wait, so all are killed."""

    def __init__(self, stack: Stack, url: str, port: int) -> None:
        self._stack = stack
        more = {"EMAIL_URL": f"smtp://127.0.0.1:{port}", "PYTHONPATH": _post_office()}
        self.env = stack.environment(url, **POST_OFFICE, **more)

    @staticmethod
    @contextmanager
    def empty_database(stack: Stack) -> Iterator[str]:
        with new_database(stack.postgres_url) as url:
            stack.processes.manage(PostOffice(stack, url, 0).env, "migrate")
            yield url

    def start(self) -> None:
        lock = str(self._stack.directory / "post-office")
        command = [sys.executable, "manage.py", "send_queued_mail", "--processes", "2"]
        command += ["--log-level", "0", "--lockfile", lock]
        self._command = self._stack.processes.start("post-office", command, self.env)

    def is_done(self) -> bool:
        return not self._command.is_running()

    def kill(self, n: int) -> None:
        self._command.kill()
        self.start()

    def stop(self) -> None:
        code = self._command.wait()
        assert code == 0, self._command.text()

    def parked(self) -> int:
        return 0


class MailServer:
    """It takes all, and keeps a record."""

    def __init__(self, stack: Stack) -> None:
        self._record = stack.directory / f"mails-{len(stack.processes.started)}"
        self._record.touch()
        command = [sys.executable, "-m", "bench.smtp_sink", str(self._record)]
        self._process = stack.processes.start("mail-server", command, stack.environment(""))
        self._process.wait_for_text("port ")
        self.port = int(self._process.text().split()[1])

    def size(self) -> int:
        return self._record.stat().st_size

    def times(self) -> Counter[str]:
        """How often each subject came."""
        return Counter(line.partition(" ")[2] for line in self._lines())

    def rate(self) -> float:
        """Messages a second, from the first to the last."""
        lines = self._lines()
        first, last = (float(line.partition(" ")[0]) for line in (lines[0], lines[-1]))
        return (len(lines) - 1) / (last - first)

    def stop(self) -> None:
        self._process.kill()

    def _lines(self) -> list[str]:
        return self._record.read_text().splitlines()


def _drain(stack: Stack, kind: type[Sender], template: str, count: int) -> float:
    """E-mails a second."""
    with _sending(stack, kind, template) as (sender, server):
        wait_until(sender.is_done, TIMEOUT_SECONDS, "all are sent", every=0.25)
    times = server.times()
    assert len(times) == count, f"{len(times)} of {count} came"
    assert set(times.values()) == {1}, "some came more than once"
    return server.rate()


def _kill(
    stack: Stack, kind: type[Sender], template: str, count: int, kills: int
) -> tuple[int, int]:
    """How many came again, and how many were parked; of all others, each must have come."""
    with _sending(stack, kind, template) as (sender, server):
        for n in range(kills):
            _wait_until_sending(sender, server)
            time.sleep(KILL_SECONDS)
            if sender.is_done():
                break
            sender.kill(n)
        wait_until(sender.is_done, TIMEOUT_SECONDS, "all are done", every=0.25)
        times, parked = server.times(), sender.parked()
    assert len(times) >= count - parked, f"{len(times)} of {count} came, {parked} are parked"
    return times.total() - len(times), parked


@contextmanager
def _sending(
    stack: Stack, kind: type[Sender], template: str
) -> Iterator[tuple[Sender, MailServer]]:
    stack.empty_redis()
    server = MailServer(stack)
    with stack.database(template) as url:
        sender = kind(stack, url, server.port)
        sender.start()
        yield sender, server
        sender.stop()
    server.stop()


def _wait_until_sending(sender: Sender, server: MailServer) -> None:
    before = server.size()
    wait_until(lambda: server.size() > before or sender.is_done(), TIMEOUT_SECONDS, "it sends")


@contextmanager
def _backlog(stack: Stack, kind: type[Sender], count: int) -> Iterator[str]:
    """The name of a database that owes so many e-mails."""
    with kind.empty_database(stack) as url:
        command = [sys.executable, "-m", "bench.mails", str(count)]
        subprocess.run(command, env=kind(stack, url, 0).env, cwd=ROOT, check=True)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        yield urlsplit(url).path.removeprefix("/")


def _ask_alone(stack: Stack, count: int) -> float:
    """What the mail server takes a second from two senders that only send."""
    server = MailServer(stack)
    command = [sys.executable, "-m", "bench.smtp_sink", "--ask", str(server.port), str(count // 2)]
    senders = [stack.processes.start("ask", command, stack.environment("")) for _ in range(2)]
    for sender in senders:
        assert sender.wait(TIMEOUT_SECONDS) == 0
    server.stop()
    return server.rate()


def _settings(stack: Stack) -> dict[str, Any]:
    """A short lease: what a killed process had claimed and not begun is soon taken up again."""
    return {
        "CHANNELS": {"email": {"PROVIDERS": ["smtp"]}},
        "PROVIDERS": {
            "smtp": {
                "BACKEND": "notifications.providers.django_email.DjangoEmailProvider",
                "TIMEOUT": 3,
            },
            "simulated": {"BACKEND": SIMULATED, "TIMEOUT": 3},
        },
        "GATES": {"BACKEND": "notifications.gates.redis", "OPTIONS": {"URL": stack.redis_url}},
        "LEASE_SECONDS": 8,
        "HINT_SECONDS": 4,
    }


def _post_office() -> str:
    """The directory it is installed in, for PYTHONPATH."""
    directory = ROOT / "var" / "bench" / "-".join(PACKAGES)
    if not directory.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", str(directory), *PACKAGES], check=True)
    return str(directory)
