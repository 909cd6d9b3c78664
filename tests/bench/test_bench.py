"""A quick run of each benchmark: that all is counted and nothing is lost, not how fast it is.

Those marked `long` measure in the ways of the others: `make test` has one of each way.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import (
    __main__,
    accept,
    admin,
    drain,
    embedded,
    fairness,
    growth,
    idle,
    imports,
    latency,
    limit,
    memory,
    relayed,
    report,
    slow,
    smtp,
)
from bench.report import Bar, Row
from bench.stack import Stack

pytestmark = pytest.mark.timeout(300)  # several processes start in each, one after the other


@pytest.fixture
def stack(
    tmp_path: Path, postgres_url: str, redis_url: str, migrated_template: str
) -> Iterator[Stack]:
    with Stack(tmp_path, postgres_url, redis_url, migrated_template) as stack:
        yield stack


@pytest.mark.processes
def test_accepting_is_measured_against_bare_views(stack: Stack) -> None:
    one_by_one, in_calls = accept.run(stack, repeat=1, quick=True)
    assert is_measured(one_by_one)
    assert is_measured(in_calls)


@pytest.mark.long
def test_each_page_of_the_admin_and_the_api_is_measured(stack: Stack) -> None:
    rows = {row.name.removeprefix("admin: "): row for row in admin.run(stack, 1, quick=True)}
    for page in ("dashboard", "list, failed", "notification", "API, list", "metrics"):
        assert rows[page].product[0] > 0
    statements = {name: row for name, row in rows.items() if name.endswith(", statements")}
    assert len(statements) == len(rows) / 2
    assert {
        name for name, row in statements.items() if row.product[0] > admin.MOST_QUERIES
    } == set()


@pytest.mark.long
def test_an_import_is_measured_on_both_databases_and_survives(stack: Stack) -> None:
    rate, held, sqlite_rate, sqlite_held = imports.run(stack, repeat=1, quick=True)
    assert min(rate.product[0], sqlite_rate.product[0]) > 0
    assert is_measured(held)
    assert is_measured(sqlite_held)


@pytest.mark.long
def test_draining_is_measured_against_the_same_sql(stack: Stack) -> None:
    [row] = drain.run(stack, repeat=1, quick=True)
    assert is_measured(row)


@pytest.mark.processes
def test_the_way_to_the_provider_is_measured_against_plain_celery(stack: Stack) -> None:
    half, most, answered = latency.run(stack, repeat=1, quick=True)
    assert answered.product[0] <= most.product[0]
    assert 0 < half.product[0] <= most.product[0]
    assert 0 < half.baseline[0] <= most.baseline[0]


@pytest.mark.long
def test_draining_what_was_relayed_is_measured_against_calls(stack: Stack) -> None:
    rate, ids = relayed.run(stack, repeat=1, quick=True)
    assert is_measured(rate)
    assert 1 <= ids.product[0] <= 100


@pytest.mark.long
def test_draining_a_large_table_is_measured_against_a_small_one(stack: Stack) -> None:
    [row] = growth.run(stack, repeat=1, quick=True)
    assert is_measured(row)


@pytest.mark.long
def test_a_limit_is_measured_at_the_provider(stack: Stack) -> None:
    fullest, share, messages, updates = limit.run(stack, repeat=1, quick=True)
    assert 0 < fullest.product[0] <= limit.PER_SECOND + limit.BURST
    assert share.product[0] > 0 < messages.product[0]
    assert updates.product[0] > 0


@pytest.mark.long
def test_waiting_behind_a_backlog_is_measured_against_waiting_alone(stack: Stack) -> None:
    other, urgent, lasts = fairness.run(stack, repeat=1, quick=True)
    assert is_measured(other)
    assert is_measured(urgent)
    assert lasts.product[0] > 0


@pytest.mark.long
def test_idling_is_measured_against_a_stock_worker(stack: Stack) -> None:
    [row] = idle.run(stack, repeat=1, quick=True)
    assert 0 <= row.product[0] < 300


@pytest.mark.long
def test_memory_is_measured_before_and_after(stack: Stack) -> None:
    largest, worst, whole = memory.run(stack, repeat=1, quick=True)
    assert largest.product[0] >= worst.product[0] > 0
    assert whole.product[0] > 0


def test_each_benchmark_says_how_long_it_takes_and_what_it_measures() -> None:
    names = set(__main__.BENCHMARKS)
    assert names == set(__main__.SECONDS)
    text = (Path(report.__file__).parent / "README.md").read_text()
    assert [name for name in names if f"| `{name}` |" not in text] == []


@pytest.mark.long
def test_a_slow_provider_is_measured_against_itself_one_by_one(stack: Stack) -> None:
    [row] = slow.run(stack, repeat=1, quick=True)
    assert is_measured(row)
    assert row.ratio > 2


@pytest.mark.long
def test_smtp_is_measured_against_another_queue_and_under_kills(stack: Stack) -> None:
    drained, alone, twice, parked = smtp.run(stack, repeat=1, quick=True)
    assert is_measured(drained)
    assert is_measured(alone)
    assert twice.product == [0]
    assert 0 <= parked.product[0] <= 2 * smtp.QUICK_KILLS * 10


@pytest.mark.long
def test_the_embedded_mode_is_measured_against_the_stock_broker(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        rate, delivered, called, seen, idle = embedded.run(stack, repeat=1, quick=True)
    assert is_measured(rate)
    assert 0 < delivered.product[0] <= seen.product[0]
    assert 0 < delivered.baseline[0] <= seen.baseline[0]
    assert called.product[0] > 0 < called.baseline[0]
    assert 0 <= idle.product[0] < 200


def test_a_ratio_is_the_median_over_the_rounds() -> None:
    row = Row("name", "/s", "what", product=[10, 90, 30], baseline=[10, 30, 60])
    assert row.ratio == 1


def test_a_bar_is_judged_by_the_figure_or_by_the_ratio() -> None:
    row = Row("name", "/s", "what", product=[50], baseline=[100])
    assert Bar(50).is_reached(row)
    assert not Bar(51).is_reached(row)
    assert Bar(50, at_most=True).is_reached(row)
    assert Bar(0.5, of="ratio").is_reached(row)
    assert not Bar(0.6, of="ratio").is_reached(row)


def test_a_figure_without_a_baseline_has_neither_baseline_nor_ratio() -> None:
    row = Row("limit: most", "sent", bar=Bar(100, at_most=True), product=[60])
    assert (row.as_dict()["baseline"], row.as_dict()["ratio"]) == (None, None)
    assert report.table([row]).splitlines()[2:] == [
        "| limit: most | 60 sent |          |       | ≤ 100 sent | yes     |"
    ]


def test_a_percentile_is_a_sample_that_so_many_do_not_exceed() -> None:
    samples = [5, 3, 1, 4, 2, 10, 9, 8, 7, 6]
    assert [report.percentile(samples, percent) for percent in (50, 90, 95, 99)] == [5, 9, 10, 10]


def test_a_baseline_of_nothing_has_no_ratio() -> None:
    row = Row("name", "/s", "what", product=[50], baseline=[0])
    assert row.ratio == math.inf
    assert row.as_dict()["ratio"] is None


def test_results_are_written_as_json_and_as_markdown(tmp_path: Path) -> None:
    row = Row("accept: one", "/s", "a bare view", Bar(0.8, of="ratio"), [90], [100])
    files = report.write(tmp_path, "accept", [row], {"cores": 2}, "python -m bench accept")
    assert [file.name for file in files] == ["accept.json", "accept.md"]
    data = json.loads(files[0].read_text())
    assert (data["command"], data["machine"]) == ("python -m bench accept", {"cores": 2})
    assert data["rows"][0]["samples"] == {"product": [90], "baseline": [100]}
    assert data["rows"][0]["reached"] is True
    assert "| accept: one | 90 /s   | 100 /s   | 0.9   |" in files[1].read_text()


def is_measured(row: Row) -> bool:
    return row.product[0] > 0 and row.baseline[0] > 0 and math.isfinite(row.ratio)
