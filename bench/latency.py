"""From sending a POST to the provider's call, with nothing else going on.

gunicorn, one worker with two processes, PostgreSQL and Redis, beside the same of plain Celery:
each gets a POST in turn, at random moments, so that nothing that polls is met in step. The
client takes the time before it writes the request, the provider when it is called. Both begin
on a table with a history, and count once their connections are as warm as after a day.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tqdm import tqdm

from . import bare_celery, fill
from .accept import SERVER
from .api import Api, mail
from .ledger import on_ledger, wait_for
from .report import Bar, Row, percentile
from .stack import Environment, Stack

COUNT, QUICK_COUNT = 120, 5
WARM_UP = 150
"""From the 50th on, the statements of each of the two processes are kept planned."""

HISTORY = 20_000
CONCURRENCY = 2
GAP_SECONDS = (0.05, 0.3)
BASELINE_IS = (
    "a bare DRF view that inserts the row and calls `.delay()`, and plain Celery, whose task reads "
    "the row, writes to the ledger and marks the row as sent"
)


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Every notification must reach the provider, once."""
    count = QUICK_COUNT if quick else COUNT
    rows = [
        Row("latency: POST to provider, p50", "ms", BASELINE_IS, Bar(15, at_most=True)),
        Row("latency: POST to provider, p99", "ms", BASELINE_IS, Bar(60, at_most=True)),
        Row("latency: POST to its answer, p50", "ms", BASELINE_IS),
    ]
    warm_up = min(WARM_UP, count)
    history = 0 if quick else HISTORY
    with _database(stack, history) as ours, _database(stack, history) as bare:
        product, baseline = _product(stack, ours), _baseline(stack, bare)
        with tqdm(total=2 * (repeat * count + warm_up), unit="post", desc="latency") as bar:
            _in_turn(product, baseline, warm_up, bar)
            for _ in range(repeat):
                figures = _in_turn(product, baseline, count, bar)
                for row, of_product, of_baseline in zip(rows, *figures, strict=True):
                    row.product.append(of_product)
                    row.baseline.append(of_baseline)
    return rows


@contextmanager
def _database(stack: Stack, finished: int) -> Iterator[str]:
    if not finished:
        with stack.database() as url:
            yield url
        return
    with fill.originals(stack) as template, stack.database(template) as url:
        with tqdm(total=finished, desc="latency, history", leave=False) as bar:
            fill.add_finished(url, finished, bar)
        fill.settle_down(url)
        yield url


def _product(stack: Stack, database_url: str) -> "_Side":
    ledger = stack.directory / "product.ledger"
    env = on_ledger(stack.on_redis(database_url), ledger)
    stack.processes.worker(env, "-c", str(CONCURRENCY))
    return _Side(stack, env, "notify", ledger)


def _baseline(stack: Stack, database_url: str) -> "_Side":
    ledger = stack.directory / "bare.ledger"
    ledger.touch()
    env = stack.on_redis(database_url) | bare_celery.environment(ledger)
    bare_celery.worker(stack, env, CONCURRENCY)
    return _Side(stack, env, "send", ledger)


class _Side:
    """A web server with a worker behind it: POSTs go in, the ledger says when they came out."""

    def __init__(self, stack: Stack, env: Environment, path: str, ledger: Path) -> None:
        _, url = stack.processes.gunicorn(env, *SERVER)
        self.api = Api(url, stack.make_key(env))
        self.path, self.ledger = path, ledger
        self.began: dict[str, float] = {}
        self.answered: list[float] = []

    def post(self) -> None:
        body = mail(len(self.began), uuid4().hex)
        began = time.monotonic()
        id = self.api.post(self.path, body)["id"]
        self.answered.append(time.monotonic() - began)
        self.began[id] = began

    def take(self) -> list[float]:
        """Of what was posted since: p50 and p99 to the provider, p50 to the answer; in ms."""
        calls = wait_for(self.ledger, self.began)
        took = [calls[id] - began for id, began in self.began.items()]
        answered, self.began, self.answered = self.answered, {}, []
        figures = (percentile(took, 50), percentile(took, 99), percentile(answered, 50))
        return [1000 * seconds for seconds in figures]


Figures = tuple[list[float], list[float]]


def _in_turn(product: _Side, baseline: _Side, count: int, bar: "tqdm[None]") -> Figures:
    for _ in range(count):
        for side in (product, baseline):
            time.sleep(random.uniform(*GAP_SECONDS))
            side.post()
            bar.update()
    return product.take(), baseline.take()
