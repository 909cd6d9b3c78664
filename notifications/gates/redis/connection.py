"""Redis as the gates see it: it answers at once, or it is away."""

import logging
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ...signals import limiter_degraded

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as error:
    raise ImportError(
        'redis is not installed: pip install "django-notifications-engine[redis]"'
    ) from error

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.5
"""How long Redis may take to connect, and to answer; it needs well under a millisecond."""

PROBE_SECONDS = 3.0
"""While Redis is away it is asked so often, by one thread of the process; the others go on."""


class Connection:
    """Runs scripts; once Redis was found away, hardly anybody waits for it any more."""

    def __init__(self, url: str) -> None:
        # No second try: the first may have been carried out, and would be counted twice.
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._away_until: float | None = None

    def run(self, script: str, keys: Sequence[str], values: Sequence[object]) -> list[Any] | None:
        """What the script named `script` answers; None while Redis is away or cannot run it.

        Redis' own refusals (no memory, read-only, still loading) count as being away.
        """
        if not self._may_ask():
            return None
        try:
            answer: list[Any] = self._script(script)(keys, values)
        except redis.RedisError as error:
            self._lost(error)
            return None
        self._found()
        return answer

    def _script(self, name: str) -> Any:
        if name not in self._scripts:
            source = Path(__file__).with_name(name).read_text()
            self._scripts[name] = self._client.register_script(source)
        return self._scripts[name]

    def _may_ask(self) -> bool:
        if self._away_until is None:
            return True
        with self._lock:
            now = time.monotonic()
            if self._away_until is None or now < self._away_until:
                return self._away_until is None
            self._away_until = now + PROBE_SECONDS
            return True

    def _lost(self, error: redis.RedisError) -> None:
        reason = type(error).__name__
        with self._lock:
            was_there = self._away_until is None
            self._away_until = time.monotonic() + PROBE_SECONDS
        if was_there:
            logger.error("Redis of the gates is away (%s): the local share applies", reason)
        limiter_degraded.send_robust(sender=Connection, reason=reason)

    def _found(self) -> None:
        if self._away_until is None:
            return
        with self._lock:
            was_away, self._away_until = self._away_until is not None, None
        if was_away:
            logger.warning("Redis of the gates is back")


@cache
def connection(url: str) -> Connection:
    """The connection of this process to the Redis at `url`: all of its gates share it."""
    return Connection(url)
