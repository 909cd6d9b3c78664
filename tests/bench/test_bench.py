"""A quick run of each benchmark: that all is counted and nothing is lost, not how fast it is."""

import json
import math
from pathlib import Path

import pytest

from bench import accept, drain, embedded, report
from bench.report import Bar, Row
from bench.stack import Stack


@pytest.mark.postgres
def test_accepting_is_measured_against_a_bare_view(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    with Stack(tmp_path, postgres_url, redis_url) as stack:
        [row] = accept.run(stack, repeat=1, quick=True)
    assert is_measured(row)


@pytest.mark.postgres
def test_draining_is_measured_against_the_same_sql(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    with Stack(tmp_path, postgres_url, redis_url) as stack:
        [row] = drain.run(stack, repeat=1, quick=True)
    assert is_measured(row)


def test_the_embedded_mode_is_measured_against_the_stock_broker(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        rate, delivered, seen, idle = embedded.run(stack, repeat=1, quick=True)
    assert is_measured(rate)
    assert 0 < delivered.product[0] <= seen.product[0]
    assert 0 < delivered.baseline[0] <= seen.baseline[0]
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
