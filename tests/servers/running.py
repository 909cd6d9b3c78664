"""The suite's own servers: one of each per run, started when first asked for."""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from .base import Server
from .postgres import Postgres
from .rabbitmq import RabbitMQ
from .redis import Redis

S = TypeVar("S", bound=Server)
_made: list[Server] = []


def _once(make: Callable[[], S]) -> S:
    server = make()
    _made.append(server)
    return server


@cache
def postgres() -> Postgres:
    """The handle; its URL is known before `start`, which settings rely on."""
    return _once(Postgres)


@cache
def redis() -> Redis:
    return _once(Redis)


@cache
def rabbitmq() -> RabbitMQ:
    return _once(RabbitMQ)


def close_all() -> None:
    while _made:
        _made.pop().close()
