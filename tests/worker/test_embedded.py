import signal
import sys
import threading
import time

import pytest
from celery.worker import state as worker_state

from notifications.worker import EmbeddedWorker, stopping
from tests.processes import wait_until
from tests.servers.base import free_port
from tests.worker.doubles import Lab


@pytest.fixture(params=["embedded://", "redis"])
def any_lab(request: pytest.FixtureRequest, make_lab: type[Lab]) -> Lab:
    if request.param == "redis":
        return make_lab(request.getfixturevalue("empty_redis"))
    return make_lab(request.param)


def test_it_starts_and_stops_and_starts_again(any_lab: Lab) -> None:
    for turn in range(3):
        with any_lab.worker():
            any_lab.note.delay(turn)
            any_lab.wait_for(turn + 1)
    assert any_lab.names() == [0, 1, 2]


def test_nothing_of_it_is_left_after_a_stop(lab: Lab) -> None:
    before = set(threading.enumerate())
    with lab.worker():
        lab.note.delay()
        lab.wait_for(1)
    assert set(threading.enumerate()) <= before


def test_the_process_around_it_stays_as_it_was(lab: Lab) -> None:
    def surroundings() -> list[object]:
        return [sys.stdout, sys.stderr, *map(signal.getsignal, (signal.SIGTERM, signal.SIGINT))]

    before = surroundings()
    with lab.worker():
        assert surroundings() == before
    assert surroundings() == before


def test_a_stop_waits_for_what_is_running_and_tells_it(any_lab: Lab) -> None:
    worker = EmbeddedWorker(any_lab.app)
    worker.start()
    assert not stopping()
    any_lab.nap.delay("long", 60)
    wait_for_a_running_task()
    begun = time.monotonic()
    assert worker.stop()
    assert time.monotonic() - begun < 20
    assert any_lab.names() == ["long"]
    assert stopping()


def test_a_stop_that_has_no_time_says_so(lab: Lab) -> None:
    @lab.app.task(name="lab.stubborn", shared=False)
    def stubborn() -> None:
        time.sleep(1)

    worker = EmbeddedWorker(lab.app)
    worker.start()
    stubborn.delay()
    wait_for_a_running_task()
    assert not worker.stop(timeout=0.1)
    assert worker.stop()


def test_a_second_start_is_refused(lab: Lab) -> None:
    with lab.worker() as worker, pytest.raises(RuntimeError, match="running already"):
        worker.start()


def test_a_broker_that_is_away_is_waited_for(make_lab: type[Lab]) -> None:
    worker = EmbeddedWorker(make_lab(f"redis://127.0.0.1:{free_port()}/0").app)
    assert not worker.start(timeout=1)
    assert worker.is_alive()
    assert worker.stop()


def test_a_task_of_the_pool_publishes_through_the_same_app(lab: Lab) -> None:
    """A retry from a pool thread once went to Celery's default broker and was lost."""

    @lab.app.task(bind=True, name="lab.again", shared=False)
    def again(self: object) -> None:
        if not self.request.retries:  # type: ignore[attr-defined] - a Celery task
            raise self.retry(countdown=0)  # type: ignore[attr-defined] - a Celery task
        lab.done.append(("again", time.monotonic()))

    with lab.worker():
        again.delay()
        lab.wait_for(1)


def wait_for_a_running_task() -> None:
    wait_until(lambda: len(worker_state.active_requests), what="a running task")
