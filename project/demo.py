"""`make demo`: a mixed load through a running stack, and a table of what became of it.

Three tenants send on three channels, by themselves and in batches, and some of it goes wrong on
purpose. Their keys are made in the database, last an hour, and go when it ends; all else is HTTP.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener
from uuid import uuid4

import django
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from tqdm import tqdm

from notifications.api_keys import make_key

TENANTS = ("demo-books", "demo-shoes", "demo-tea")
KEY_NAME = "make demo"

CONTENT: Mapping[str, dict[str, Any]] = {
    "email": {"to": "ada@example.com", "subject": "Your order", "body": "It is on its way."},
    "sms": {"to": "+14155550123", "body": "Your order is on its way."},
    "webhook": {
        "to": "https://example.com/hook",
        "event": "order.shipped",
        "payload": {"order": 7},
    },
}

DEFAULT_MIX = {
    "deliver": 70,
    "slow:100": 8,
    "transient,deliver": 10,
    "transient,transient,deliver": 3,
    "bounce": 3,
    "reject": 3,
    "timeout": 3,
}
"""How many of a hundred do what at the simulated provider. A webhook without an answer is sent
again, because receivers drop what they have seen; the others stay unknown."""

MIX = dict.fromkeys(CONTENT, DEFAULT_MIX) | {
    "webhook": {
        "timeout,deliver" if word == "timeout" else word: share
        for word, share in DEFAULT_MIX.items()
    }
}

PENDING = ("scheduled", "queued", "sending", "retrying")
BATCH = 25
SINGLES = 0.2
"""The part that is sent one by one."""

LOOK_SECONDS = 0.5
TRIES = 5
OTHER_DATABASE = "Set DATABASE_URL, CELERY_BROKER_URL and REDIS_URL as `make up` has printed them."

EXIT_LOST, EXIT_NOTHING_THERE = 1, 2


class Refused(Exception):
    """Why there is no demo, and what to do about it."""


class Sent(NamedTuple):
    """One that was accepted: its address is below `url`."""

    id: str
    channel: str
    tenant: str


class Client:
    """Speaks for one tenant; waits and tries again where it is asked to."""

    def __init__(self, url: str, tenant: str, key: str) -> None:
        self.url, self.tenant, self._key = url, tenant, key
        self._open = build_opener(ProxyHandler({})).open

    def ask(self, path: str, body: Any = None, key: str | None = None) -> dict[str, Any]:
        """The answer; a key makes what is sent again harmless."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, headers)  # noqa: S310 - our own URL
        for left in reversed(range(TRIES)):
            try:
                with self._open(request, timeout=30) as response:
                    answer: dict[str, Any] = json.load(response)
                    return answer
            except HTTPError as error:
                if error.code not in (409, 429, 503) or not left:
                    raise
                time.sleep(float(error.headers.get("Retry-After", 1)))
            except (URLError, HTTPException, OSError):
                if not left:
                    raise
                time.sleep(1)
        raise AssertionError("unreachable")


def main(arguments: Sequence[str] | None = None) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    options = _parse(arguments)
    try:
        _refuse_without_a_stack(options.url)
        with _clients(options.url) as clients:
            refuse_real_providers(clients[0])
            return _run(clients, options)
    except Refused as reason:
        print(reason, file=sys.stderr)
        return EXIT_NOTHING_THERE


def _parse(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="make demo", description="A mixed load through a running stack.")
    default = os.environ.get("URL") or f"http://127.0.0.1:{settings.PORT}"
    parser.add_argument("--url", default=default, help="where it listens (%(default)s)")
    parser.add_argument("--count", type=int, default=600, help="how many (%(default)s)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for the last")
    options = parser.parse_args(arguments)
    options.url = options.url.rstrip("/")
    return options


def _refuse_without_a_stack(url: str) -> None:
    try:
        with build_opener(ProxyHandler({})).open(f"{url}/healthz", timeout=5) as response:
            response.read()
    except (URLError, HTTPException, OSError) as error:
        raise Refused(
            f"Nothing answers at {url}. Start `make run` in another terminal and wait for it; "
            "if it listens elsewhere: make demo PORT=9000, or URL=http://…"
        ) from error


@contextmanager
def _clients(url: str) -> Iterator[list[Client]]:
    """A client for each tenant, with a key that is made now and goes afterwards."""
    tenants = apps.get_model("notifications", "Tenant").objects
    try:
        found = [tenants.get_or_create(name=name)[0] for name in TENANTS]
    except DatabaseError as error:
        raise Refused(f"The database here has no tables, or is away. {OTHER_DATABASE}") from error
    expires_at = timezone.now() + timedelta(hours=1)
    keys = []
    try:
        clients = []
        for tenant in found:
            new = make_key()
            stored = {"public_id": new.public_id, "digest": new.digest, "expires_at": expires_at}
            keys.append(tenant.api_keys.create(name=KEY_NAME, **stored))
            clients.append(Client(url, tenant.name, new.token))
        yield clients
    finally:
        for key in keys:
            key.delete()


def refuse_real_providers(client: Client) -> None:
    """It is asked, and nothing of it is sent: recipients of a demo are nobody's."""
    for channel, content in CONTENT.items():
        try:
            found = client.ask("/notify?dry_run=true", {"channel": channel, **content})
        except HTTPError as error:
            raise Refused(
                f"{client.url} refuses a new key ({error.code}): it works with another database. "
                f"{OTHER_DATABASE}"
            ) from error
        names = [provider["name"] for provider in found["providers"]]
        if names != ["simulated"]:
            raise Refused(f"{channel} goes through {', '.join(names)} there: no demo through that.")


def _run(clients: Sequence[Client], options: Namespace) -> int:
    begun = time.monotonic()
    sent = _send(clients, options.count)
    found = _wait(clients, sent, options.timeout)
    print(_table(sent, found, time.monotonic() - begun))
    lost = [each for each in sent if _is_lost(found.get(each.id))]
    for each in lost[:10]:
        status = found.get(each.id, {}).get("status", "not found")
        print(f"lost: {each.channel} {each.id} of {each.tenant}: {status}")
    return EXIT_LOST if lost else 0


def _send(clients: Sequence[Client], count: int) -> list[Sent]:
    run = uuid4().hex[:8]
    jobs: list[Callable[[], list[Sent]]] = []
    for number, client in enumerate(clients):
        share = count // len(clients) + (number < count % len(clients))
        items = [_item(number, n) for n in range(share)]
        alone = round(share * SINGLES)
        jobs += [_single(client, item, f"{run}-{n}") for n, item in enumerate(items[:alone])]
        jobs += [
            _batch(client, items[start : start + BATCH], f"{run}-from-{start}")
            for start in range(alone, share, BATCH)
        ]
    sent: list[Sent] = []
    with (
        ThreadPoolExecutor(6) as pool,
        tqdm(total=count, desc="accepted", unit="", disable=None) as bar,
    ):
        for accepted in pool.map(lambda job: job(), jobs):
            sent += accepted
            bar.update(len(accepted))
    return sent


def _item(tenant: int, number: int) -> dict[str, Any]:
    """Any hundred in a row of a channel draw each lot once; tenants begin apart."""
    channel = list(CONTENT)[number % len(CONTENT)]
    simulate = _drawn(MIX[channel], (number // len(CONTENT) * 37 + tenant) % 100)
    priority = ("urgent", "normal", "bulk")[number % 7 % 3]
    metadata = {"simulate": simulate}
    return {"channel": channel, **CONTENT[channel], "priority": priority, "metadata": metadata}


def _drawn(mix: Mapping[str, int], lot: int) -> str:
    """Of `mix` the word that holds the place `lot` of a hundred."""
    for word, share in mix.items():
        if lot < share:
            return word
        lot -= share
    raise ValueError("the shares are not a hundred")


def _single(client: Client, item: dict[str, Any], key: str) -> Callable[[], list[Sent]]:
    def send() -> list[Sent]:
        body = client.ask("/notify", item, key)
        return [Sent(body["id"], item["channel"], client.tenant)]

    return send


def _batch(client: Client, items: list[dict[str, Any]], key: str) -> Callable[[], list[Sent]]:
    def send() -> list[Sent]:
        results = client.ask("/notify/batch", {"notifications": items}, key)["results"]
        pairs = zip(results, items, strict=True)
        return [Sent(r["id"], item["channel"], client.tenant) for r, item in pairs if r["id"]]

    return send


def _wait(
    clients: Sequence[Client], sent: Sequence[Sent], timeout: float
) -> dict[str, dict[str, Any]]:
    """What became of each, by its id, once nothing more is to come, or the time is over."""
    deadline = time.monotonic() + timeout
    found: dict[str, dict[str, Any]] = {}
    with tqdm(total=len(sent), desc="done", unit="", disable=None) as bar:
        while True:
            for client in clients:
                found |= _look(client, [s.id for s in sent if s.tenant == client.tenant], found)
            done = sum(not _is_lost(each) for each in found.values())
            bar.update(done - bar.n)
            if done == len(sent) or time.monotonic() > deadline:
                return found
            time.sleep(LOOK_SECONDS)


def _look(
    client: Client, ids: Iterable[str], found: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Those of `ids` that were not done yet, as the list has them now, newest first."""
    wanted = {id for id in ids if _is_lost(found.get(id))}
    rows: dict[str, dict[str, Any]] = {}
    oldest = min(wanted, default="")
    path: str | None = "/notifications?page_size=250" if wanted else None
    while path:
        page = client.ask(path)
        rows |= {row["id"]: row for row in page["results"] if row["id"] in wanted}
        beyond = not page["results"] or page["results"][-1]["id"] < oldest
        path = None if beyond or page["next"] is None else page["next"].removeprefix(client.url)
    return rows


def _is_lost(row: Mapping[str, Any] | None) -> bool:
    return row is None or row["status"] in PENDING


def _table(sent: Sequence[Sent], found: Mapping[str, Mapping[str, Any]], seconds: float) -> str:
    names = ("accepted", "delivered", "retried", "failed", "unknown", "lost", "p50", "p95", "p99")
    lines = [_line("", names)]
    for channel in (*CONTENT, None):
        chosen = [s.id for s in sent if channel in (s.channel, None)]
        rows = [found[id] for id in chosen if id in found]
        lines.append(_line(channel or "all", _figures(len(chosen), rows)))
    rate = len(sent) / seconds if seconds else 0.0
    lines.append(f"\n{len(sent):,} in {seconds:.1f} s, {rate:.0f} a second. p50, p95 and p99 are")
    lines.append("from being accepted to being delivered, retries and simulated delays included.")
    return "\n" + "\n".join(lines)


def _figures(accepted: int, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    statuses = Counter(row["status"] for row in rows)
    done = sum(count for status, count in statuses.items() if status not in PENDING)
    fine = statuses["delivered"] + statuses["sent"]
    took = sorted(_seconds(row) for row in rows if row["status"] == "delivered")
    return [
        str(accepted),
        str(fine),
        str(sum(row["attempt_count"] > 1 for row in rows)),
        str(done - fine - statuses["unknown"]),
        str(statuses["unknown"]),
        str(accepted - done),
        *(_percentile(took, part) for part in (50, 95, 99)),
    ]


def _seconds(row: Mapping[str, Any]) -> float:
    settled, created = (datetime.fromisoformat(row[name]) for name in ("settled_at", "created_at"))
    return (settled - created).total_seconds()


def _percentile(values: Sequence[float], part: int) -> str:
    if not values:
        return "-"
    place = min(len(values) - 1, round(part / 100 * (len(values) - 1)))
    return f"{values[place]:.2f} s"


def _line(name: str, cells: Iterable[str]) -> str:
    return f"{name:<8}" + "".join(f"{cell:>10}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
