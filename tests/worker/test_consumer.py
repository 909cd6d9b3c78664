"""`50/s` means 45 to 50 tasks a second, on every broker, with several limited messages in hand."""

import time

import pytest

from tests.worker.conftest import Outside
from tests.worker.doubles import Lab

SECONDS = 2.5
COUNT = 160


def rate_of(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])


def measured(outside: Outside) -> float:
    """Tasks a second of one prefork process that may hold four messages at once."""
    outside.start("-P", "prefork", "-c", "1", "--prefetch-multiplier", "4")
    for _ in range(COUNT):
        outside.send("limited")
    start = float(outside.wait_for("limited")[0][0])
    time.sleep(SECONDS)
    times = [float(line[0]) for line in outside.traces("limited")]
    assert times[-1] - start > SECONDS - 0.5
    return rate_of(times)


def test_fifty_a_second_holds_on_the_embedded_transport(make_lab: type[Lab]) -> None:
    lab = make_lab("embedded://", worker_prefetch_multiplier=2)
    with lab.worker():
        for _ in range(COUNT):
            lab.limited.delay()
        lab.wait_for(COUNT)
    assert 45 <= rate_of([at for _, at in lab.done]) <= 50


def test_fifty_a_second_holds_on_redis(on_redis: Outside) -> None:
    assert 45 <= measured(on_redis) <= 50


def test_fifty_a_second_holds_on_rabbitmq(on_rabbitmq: Outside) -> None:
    assert 45 <= measured(on_rabbitmq) <= 50


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
        for number in range(30):
            lab.note.delay(number)
        lab.wait_for(30)
    assert rate_of([at for _, at in lab.done]) > 50


def test_a_new_rate_holds_at_once(make_lab: type[Lab]) -> None:
    lab = make_lab("embedded://")
    with lab.worker():
        lab.app.control.rate_limit("lab.limited", "200/s", reply=True, timeout=2)
        for _ in range(200):
            lab.limited.delay()
        lab.wait_for(200)
    assert 150 <= rate_of([at for _, at in lab.done]) <= 200


@pytest.mark.parametrize("broker", ["embedded://", "redis"])
def test_a_limit_outlives_a_restart_of_the_worker(
    make_lab: type[Lab], broker: str, request: pytest.FixtureRequest
) -> None:
    url = broker if "://" in broker else request.getfixturevalue("empty_redis")
    lab = make_lab(url)
    for _ in range(2):
        lab.done.clear()
        with lab.worker():
            for _ in range(40):
                lab.limited.delay()
            lab.wait_for(40)
        assert 40 <= rate_of([at for _, at in lab.done]) <= 51
