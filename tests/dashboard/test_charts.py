"""Lines over the last hours, and what they are drawn from."""

from notifications.dashboard import charts
from notifications.observability.minutes import Point, bucket_of

NOW = 1_800_000_030  # half a minute into its minute


def drawn(points: list[Point], hours: int = 1) -> dict[str, charts.Chart]:
    return {chart.name: chart for chart in charts.draw(points, hours, NOW)}


def test_rates_are_per_minute_whatever_the_step() -> None:
    for hours, step in charts.RANGES.items():
        at = (NOW // step - 1) * step
        found = drawn([Point(at, "accepted", "email", "normal", 1200)], hours)["accepted"]
        assert found.rows[-1].at == at
        assert list(found.rows[-1].values) == [1200 / (step / 60), 0, 0]
        assert len(found.rows) == hours * 3600 // step


def test_each_chart_takes_what_it_means() -> None:
    at = NOW // 60 * 60 - 60
    points = [
        Point(at, "attempt", "sms", "a:b:accepted", 5),
        Point(at, "attempt", "sms", "a:transient", 7),
        Point(at, "retry", "sms", "a", 3),
        Point(at, "settled", "sms", "failed", 2),
        Point(at, "settled", "sms", "delivered", 9),
        Point(at, "error", "sms", "a:x", 7),
    ]
    found = {name: chart.rows[-1].values[1] for name, chart in drawn(points).items()}
    assert found | {"latency": None} == {
        "accepted": 0,
        "sent": 5,
        "failed": 2,
        "retried": 3,
        "latency": None,
    }


def test_the_minute_that_has_only_begun_is_shown_where_there_is_nothing_else() -> None:
    begun, before = NOW // 60 * 60, NOW // 60 * 60 - 60
    new = [Point(begun, "accepted", "email", "normal", 1)]
    assert drawn(new)["accepted"].rows[-1].at == begun
    old = [*new, Point(before, "accepted", "email", "normal", 1)]
    assert drawn(old)["accepted"].rows[-1].at == before


def test_latency_is_said_by_percentiles_and_left_open_where_nothing_was_sent() -> None:
    at = NOW // 60 * 60 - 60
    points = [
        Point(at, "wait", "email", str(bucket_of(1)), 50),
        Point(at, "wait", "sms", str(bucket_of(4)), 50),
    ]
    chart = drawn(points)["latency"]
    assert list(chart.rows[-1].values) == [1, 4, 4]
    assert list(chart.rows[-2].values) == [None, None, None]
    assert charts.percentiles(points, "email") == [1, 1, 1]
    assert [row.at for row in chart.told] == [at]
