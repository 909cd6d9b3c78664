"""`manage.py serve`: the HTTP server and an embedded Celery worker in one process."""

import os
import signal
import threading
import time
from argparse import ArgumentParser
from typing import Any

from celery import Celery
from celery.app import app_or_default
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.core.servers.basehttp import get_internal_wsgi_application

from ...pipeline import relay
from ...worker import EmbeddedWorker, is_set_up
from ..http import HttpServer, is_installed

HTTP_DRAIN_SECONDS = 10.0
WORKER_DRAIN_SECONDS = 30.0
RELAY_DRAIN_SECONDS = 5.0
SAME_SIGNAL_SECONDS = 2.0


class Command(BaseCommand):
    help = "Serves HTTP and runs an embedded Celery worker, in one process. Ctrl-C drains both."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
        parser.add_argument(
            "--port", type=int, default=getattr(settings, "PORT", 8000), help="default: %(default)s"
        )
        parser.add_argument("--no-worker", action="store_true", help="HTTP alone")
        parser.add_argument(
            "--concurrency", type=int, default=2, help="threads of the worker, default: %(default)s"
        )

    def handle(self, *, host: str, port: int, no_worker: bool, concurrency: int, **_: Any) -> None:
        http = _http_server(host, port)
        worker = None if no_worker else EmbeddedWorker(_celery_app(), concurrency)
        told_to_stop = _on_signals()
        try:
            http.start()
            self._start(worker)
            self._say(f"Serving on {http.url} — Ctrl-C drains and stops")
            _wait(told_to_stop, worker)
        finally:
            self._stop(http, worker)

    def _start(self, worker: EmbeddedWorker | None) -> None:
        if worker is not None and not worker.start():
            self.stderr.write("The broker does not answer; the worker goes on trying to reach it.")

    def _stop(self, http: HttpServer, worker: EmbeddedWorker | None) -> None:
        """In the order of the work: no more requests, no more sends, no more hints."""
        self._say("Draining ...")
        http.stop(HTTP_DRAIN_SECONDS)
        if worker is not None and not worker.stop(WORKER_DRAIN_SECONDS):
            self.stderr.write(
                "Some sends have not come to an end; the next start looks after them."
            )
        relay.flush(RELAY_DRAIN_SECONDS)
        self._say("Stopped.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _http_server(host: str, port: int) -> HttpServer:
    if not is_installed():
        raise CommandError('Waitress is missing: pip install "django-notifications-engine[serve]"')
    try:
        return HttpServer(get_internal_wsgi_application(), host, port)
    except OSError as error:
        raise CommandError(
            f"Cannot serve on {host}:{port}: {error.strerror}. Choose another with --port."
        ) from error


def _celery_app() -> Celery:
    app = app_or_default()
    if not is_set_up(app):
        raise CommandError(
            "The project has no Celery app that carries notifications: call "
            "notifications.worker.setup(app) where it is made, and import it in the project's "
            "__init__.py. Or serve HTTP alone with --no-worker."
        )
    return app


def _on_signals() -> threading.Event:
    """Set by the first SIGINT or SIGTERM; one more, a while later, ends the process at once.

    A while later, because `make` and process groups pass on what the process also got itself.
    """
    told = threading.Event()
    patience: list[float] = []

    def stop(*_: Any) -> None:
        if not patience:
            told.set()
            patience.append(time.monotonic() + SAME_SIGNAL_SECONDS)
        elif time.monotonic() > patience[0]:
            os._exit(1)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return told


def _wait(told_to_stop: threading.Event, worker: EmbeddedWorker | None) -> None:
    while not told_to_stop.wait(1.0):
        if worker is not None and not worker.is_alive():
            raise CommandError("The embedded worker has ended; the log says why.")
