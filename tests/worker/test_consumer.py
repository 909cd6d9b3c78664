"""`50/s` means 45 to 50 tasks a second, on every broker, with several limited messages in hand."""

import time
from collections.abc import Callable

import pytest

from tests.processes import measured_until
from tests.worker.conftest import Outside
from tests.worker.doubles import Lab

SECONDS = 2.5
COUNT = 160


def rate_of(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])


def measured(outside: Outside) -> float:
    """Tasks a second of one prefork process that may hold four messages at once."""
    outside.start("-P", "prefork", "-c", "1", "--prefetch-multiplier", "4")

    def measure() -> float:
        before = len(outside.traces("limited"))
        for _ in range(COUNT):
            outside.send("limited")
        lines = outside.wait_for("limited", before + COUNT, timeout=60)
        return rate_of([float(line[0]) for line in lines[before:]])

    return never_above(50, measure, at_least=45)


def of_lab(lab: Lab, count: int, most: float, at_least: float) -> float:
    def measure() -> float:
        lab.done.clear()
        for _ in range(count):
            lab.limited.delay()
        lab.wait_for(count)
        return rate_of([at for _, at in lab.done])

    return never_above(most, measure, at_least)


def never_above(most: float, measure: Callable[[], float], at_least: float) -> float:
    """A rate that was never above `most`; measured again while others keep it from `at_least`."""

    def measure_and_judge() -> float:
        rate = measure()
        assert rate <= most
        return rate

    return measured_until(lambda rate: rate >= at_least, measure_and_judge)


def test_fifty_a_second_holds_on_the_embedded_transport(make_lab: type[Lab]) -> None:
    lab = make_lab("embedded://", worker_prefetch_multiplier=2)
    with lab.worker():
        assert of_lab(lab, COUNT, most=50, at_least=45) >= 45


def test_fifty_a_second_holds_on_redis(on_redis: Outside) -> None:
    assert measured(on_redis) >= 45


def test_fifty_a_second_holds_on_rabbitmq(on_rabbitmq: Outside) -> None:
    assert measured(on_rabbitmq) >= 45


def test_celerys_own_consumer_would_not_hold_it(on_redis: Outside) -> None:
    """That the tests above can fail: the stock consumer collapses under the same load."""
    on_redis.start("-P", "prefork", "-c", "1", "--prefetch-multiplier", "4", CONSUMER="stock")
    for _ in range(COUNT):
        on_redis.send("limited")
    on_redis.wait_for("limited")
    time.sleep(SECONDS)
    assert len(on_redis.traces("limited")) / SECONDS < 25


def test_a_limit_does_not_hold_up_what_has_none(lab: Lab) -> None:
    with lab.worker():
        for number in range(100):
            lab.note.delay(number)
        lab.wait_for(100)
    assert rate_of([at for _, at in lab.done]) > 50


def test_a_new_rate_holds_at_once(make_lab: type[Lab]) -> None:
    lab = make_lab("embedded://")
    with lab.worker():
        lab.app.control.rate_limit("lab.limited", "200/s", reply=True, timeout=2)
        assert of_lab(lab, 200, most=200, at_least=150) >= 150


@pytest.mark.parametrize("broker", ["embedded://", "redis"])
def test_a_limit_outlives_a_restart_of_the_worker(
    make_lab: type[Lab], broker: str, request: pytest.FixtureRequest
) -> None:
    url = broker if "://" in broker else request.getfixturevalue("empty_redis")
    lab = make_lab(url)
    for _ in range(2):
        with lab.worker():
            assert of_lab(lab, 40, most=55, at_least=40) >= 40
