"""The embedded transport; where it is about speed, beside kombu's own `memory://` in one run."""

import os
import statistics
import threading
import time
from collections.abc import Iterator

import pytest
from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import OperationalError

from notifications import transport
from notifications.transport import broker
from tests.worker.doubles import Lab


@pytest.fixture
def connection() -> Iterator[Connection]:
    broker.queues.clear()
    with Connection("embedded://") as connection:
        yield connection
    broker.queues.clear()


def latency(lab: Lab, samples: int) -> float:
    """Seconds from a call to its task, in the middle of `samples`, one at a time."""
    lab.done.clear()
    sent = []
    for number in range(samples):
        sent.append(time.monotonic())
        lab.note.delay(number)
        lab.wait_for(number + 1)
    return statistics.median(at - begun for begun, (_, at) in zip(sent, lab.done, strict=True))


def throughput(lab: Lab, count: int) -> float:
    lab.done.clear()
    begun = time.monotonic()
    for _ in range(count):
        lab.note.delay()
    lab.wait_for(count)
    return count / (time.monotonic() - begun)


def idle_share(lab: Lab, seconds: float = 1.5) -> float:
    """The share of a core that a worker with nothing to do takes."""
    with lab.worker():
        time.sleep(0.5)
        cpu, wall = time.process_time(), time.monotonic()
        time.sleep(seconds)
        return (time.process_time() - cpu) / (time.monotonic() - wall)


def test_it_is_many_times_as_fast_as_kombus_memory_transport(make_lab: type[Lab]) -> None:
    ours, stock = make_lab("embedded://"), make_lab("memory://")
    with stock.worker():
        slow_latency, slow_rate = latency(stock, 2), throughput(stock, 6)
    with ours.worker():
        assert latency(ours, 50) < slow_latency / 20
        assert throughput(ours, 1000) > slow_rate * 10


def test_it_idles_at_a_fraction_of_the_cost_of_polling(make_lab: type[Lab]) -> None:
    polling = make_lab("memory://", broker_transport_options={"polling_interval": 0.01})
    assert idle_share(make_lab("embedded://")) < idle_share(polling) / 4


def test_a_countdown_ends_on_time_though_a_longer_one_runs(lab: Lab) -> None:
    countdowns = [20.0, 0.9, 0.3, 0.6]
    with lab.worker():
        begun = time.monotonic()
        for countdown in countdowns:
            lab.note.apply_async((countdown,), countdown=countdown)
        lab.wait_for(3)
        assert [countdown for countdown, _ in lab.done] == [0.3, 0.6, 0.9]
        for countdown, at in lab.done:
            assert countdown <= at - begun < max(countdowns)


def test_what_was_not_finished_is_done_after_a_restart(lab: Lab) -> None:
    with lab.worker(concurrency=1):
        for number in range(6):
            lab.nap.delay(number, 0.2)
        for number in range(6, 9):
            lab.note.apply_async((number,), countdown=1)
        lab.wait_for(1)
    assert len(lab.done) < 6
    with lab.worker():
        lab.wait_for(9)
    assert sorted(lab.names()) == list(range(9))


def test_urgent_is_served_before_bulk_whatever_came_first(lab: Lab) -> None:
    for priority in ("bulk", "normal", "urgent"):
        for _ in range(3):
            lab.note.apply_async((priority,), queue=f"notifications.email.{priority}")
    with lab.worker(concurrency=1):
        lab.wait_for(9)
    assert lab.names() == ["urgent"] * 3 + ["normal"] * 3 + ["bulk"] * 3


def test_threads_that_declare_at_the_same_moment_lose_no_message() -> None:
    for turn in range(20):
        exchange = Exchange(f"race-{turn}", type="direct")
        queues = [Queue(f"race-{turn}-{n}", exchange, routing_key=str(n)) for n in range(4)]
        together(4, lambda n, queues=queues: publish(queues[n]))
        assert [len(broker.queues[queue.name]) for queue in queues] == [1] * 4


def publish(queue: Queue) -> None:
    with Connection("embedded://") as connection, connection.channel() as channel:
        Producer(channel).publish(
            {}, exchange=queue.exchange, routing_key=queue.routing_key, declare=[queue]
        )


def together(count: int, function: object) -> None:
    """Call `function(n)` in as many threads, all at once."""
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        function(number)  # type: ignore[operator] - a callable

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_queue_nobody_reads_does_not_grow_for_ever(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "QUEUE_MAX", 3)
    with connection.SimpleQueue("unread") as queue:
        for _ in range(3):
            queue.put({})
        with pytest.raises(OperationalError, match="nobody reads"):
            queue.put({})


def test_a_refused_message_comes_again_before_all_others(connection: Connection) -> None:
    channel = connection.default_channel
    for number in range(3):
        Producer(channel).publish(number, routing_key="again")
    channel.basic_get("again").requeue()
    assert [channel.basic_get("again").payload for _ in range(3)] == [0, 1, 2]


def test_a_forked_child_can_publish_though_a_thread_of_its_parent_held_the_lock() -> None:
    with broker.changed:
        # In the child the lock is held by nobody who could ever release it, if it is not renewed.
        holder = os.fork()
        if holder == 0:
            os._exit(_notify_from_another_thread())
    assert os.waitstatus_to_exitcode(os.waitpid(holder, 0)[1]) == 0


def _notify_from_another_thread() -> int:
    thread = threading.Thread(target=broker.notify, daemon=True)
    thread.start()
    thread.join(5)
    return int(thread.is_alive())
