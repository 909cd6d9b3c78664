"""Every worker dispatches, one tick at a time, whatever happens to its pool."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.worker.conftest import Outside

Outsiders = Callable[[str], Outside]

POOLS = [("prefork", "2"), ("threads", "2"), ("solo", "1")]


@pytest.mark.parametrize(("pool", "size"), POOLS)
def test_every_pool_goes_on_ticking_beside_its_tasks(
    on_redis: Outside, pool: str, size: str
) -> None:
    on_redis.start("-P", pool, "-c", size)
    on_redis.wait_for("ticks", 3)
    for _ in range(20):
        on_redis.send("plain")
    on_redis.wait_for("plain", 20)
    assert_one_at_a_time(on_redis)
    on_redis.wait_for("ticks", len(on_redis.traces("ticks")) + 3)


def test_ticks_run_on_rabbitmq(on_rabbitmq: Outside) -> None:
    on_rabbitmq.start("-P", "prefork", "-c", "2")
    on_rabbitmq.wait_for("ticks", 5)
    assert_one_at_a_time(on_rabbitmq)


def test_the_main_process_of_a_prefork_worker_never_ticks(on_redis: Outside) -> None:
    worker = on_redis.start("-P", "prefork", "-c", "2")
    assert str(worker.pid) not in {line[1] for line in on_redis.wait_for("ticks", 5)}


@pytest.mark.parametrize("size", ["1", "2"])
def test_ticks_go_on_after_a_child_was_killed_in_the_middle_of_one(
    on_redis: Outside, size: str
) -> None:
    on_redis.start("-P", "prefork", "-c", size, TICK="dies")
    on_redis.wait_for("ticks", 5)
    on_redis.send("plain")
    on_redis.wait_for("plain")


def test_ticks_go_on_after_an_idle_child_was_killed(on_redis: Outside) -> None:
    on_redis.start("-P", "prefork", "-c", "1")
    for _ in range(3):
        count = len(on_redis.wait_for("ticks"))
        on_redis.kill(on_redis.traces("ticks")[-1][1])
        on_redis.wait_for("ticks", count + 3)


def test_a_long_tick_holds_up_neither_limited_nor_plain_tasks(on_redis: Outside) -> None:
    on_redis.start("-P", "prefork", "-c", "2", TICK="slow")
    on_redis.wait_for("ticks")
    for _ in range(10):
        on_redis.send("limited")
        on_redis.send("plain")
    on_redis.wait_for("limited", 10)
    on_redis.wait_for("plain", 10)
    assert len(on_redis.traces("ticks")) <= 2


def test_a_failing_tick_is_tried_again_and_its_text_stays_out_of_the_log(
    on_redis: Outside,
) -> None:
    worker = on_redis.start("-P", "prefork", "-c", "1", TICK="fails")
    lines = on_redis.wait_for("ticks", 3)
    gaps = [float(b[0]) - float(a[0]) for a, b in pairwise(lines)]
    assert gaps[1] > gaps[0] * 1.1
    worker.wait_for_text("a tick failed: RuntimeError in tick")
    assert "a secret" not in worker.text()


def test_a_tick_is_told_what_its_worker_reads(on_redis: Outside) -> None:
    on_redis.start("-P", "prefork", "-c", "1", "-Q", "celery,notifications.sms.urgent")
    *_, first, second = on_redis.wait_for("queues")[0]
    assert {first, second} == {"celery", "notifications.sms.urgent"}


def test_two_workers_both_tick(on_redis: Outside) -> None:
    on_redis.start("-P", "prefork", "-c", "1")
    on_redis.start("-P", "threads", "-c", "2")
    on_redis.wait_for("ticks", 10)
    assert len({line[2] for line in on_redis.traces("ticks")}) == 2


def test_ticks_go_on_after_the_broker_was_away(
    on_redis: Outside, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("redis_server")
    on_redis.start("-P", "prefork", "-c", "1")
    on_redis.wait_for("ticks", 2)
    server.stop()
    server.start()
    on_redis.wait_for("ticks", len(on_redis.traces("ticks")) + 3)
    on_redis.send("plain")
    on_redis.wait_for("plain")


def test_a_worker_that_is_told_to_stop_tells_its_children_and_ends(on_redis: Outside) -> None:
    worker = on_redis.start("-P", "prefork", "-c", "2")
    on_redis.send("slow", 60)
    on_redis.wait_for("slow")
    assert worker.stop() == 0
    assert [line[2] for line in on_redis.traces("slow")] == ["begins", "stopping"]


def test_a_shutdown_by_remote_control_is_told_to_the_children_too(on_redis: Outside) -> None:
    worker = on_redis.start("-P", "prefork", "-c", "2")
    on_redis.send("slow", 60)
    on_redis.wait_for("slow")
    on_redis.app.control.shutdown()
    worker.wait()
    assert [line[2] for line in on_redis.traces("slow")] == ["begins", "stopping"]


def test_processes_on_a_broker_inside_one_process_are_refused(outside: Outsiders) -> None:
    worker = outside("embedded://").start("-c", "1", wait=False, POOL="prefork")
    assert worker.wait() != 0
    assert "start the worker with --pool threads" in worker.text()


def test_a_worker_on_the_embedded_broker_takes_threads_of_itself(outside: Outsiders) -> None:
    alone = outside("embedded://")
    worker = alone.start("-c", "2")
    assert {line[1] for line in alone.wait_for("ticks", 3)} == {str(worker.pid)}


def assert_one_at_a_time(outside: Outside) -> None:
    """A tick of the stand-in asks for the next in 0.2 s: no two may be nearer."""
    times = [float(line[0]) for line in outside.traces("ticks")]
    assert all(b - a > 0.15 for a, b in pairwise(times))
