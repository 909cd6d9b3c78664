"""The pages of the admin and the API, beside a million notifications, of which 100,000 wait.

One process asks Django itself, without a network between; each page is asked once to warm up. A
scrape of the metrics is one of the pages.
"""

import json
import os
import subprocess
import sys

from tqdm import tqdm

from tests.processes import ROOT

from . import fill
from .report import Bar, Row
from .stack import Stack

FINISHED, WAITING = 900_000, 100_000
QUICK_FINISHED, QUICK_WAITING = 2_000, 500
TIMES, QUICK_TIMES = 10, 1
MOST_MS, MOST_QUERIES = 300, 15


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """For each page the slowest of ten answers, and its statements."""
    finished, waiting = (QUICK_FINISHED, QUICK_WAITING) if quick else (FINISHED, WAITING)
    rows: dict[str, tuple[Row, Row]] = {}
    bar = tqdm(total=finished + waiting, unit="row", desc="admin, filling")
    with bar, fill.originals(stack) as template, stack.database(template) as url:
        fill.add_finished(url, finished, bar)
        fill.add_waiting(url, waiting, bar)
        fill.settle_down(url)
        for _ in range(repeat):
            asked = _ask(stack, url, QUICK_TIMES if quick else TIMES)
            for name, (milliseconds, queries) in asked.items():
                took, count = rows.setdefault(name, _rows_of(name))
                took.product.append(milliseconds)
                count.product.append(queries)
    return [row for pair in rows.values() for row in pair]


def _rows_of(name: str) -> tuple[Row, Row]:
    return (
        Row(f"admin: {name}", "ms", bar=Bar(MOST_MS, at_most=True)),
        Row(f"admin: {name}, statements", "", bar=Bar(MOST_QUERIES, at_most=True)),
    )


def _ask(stack: Stack, url: str, times: int) -> dict[str, tuple[float, int]]:
    env = {**os.environ, **stack.on_redis(url)}
    command = [sys.executable, "-m", "bench.admin_pages", str(times)]
    done = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    )
    answer: dict[str, tuple[float, int]] = json.loads(done.stdout)
    return answer
