"""RabbitMQ: what waits there, over a crash, a lost queue, and a queue of an older kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection, Queue

from notifications.worker.configure import queues
from tests.processes import Process, Processes, wait_until
from tests.racing.stack import Stack
from tests.servers.rabbitmq import RabbitMQ, is_installed

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not on the PATH"),
]

NORMAL = "notifications.sms.normal"


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQ]:
    """A RabbitMQ that may be hurt: the suite's own is shared."""
    server = RabbitMQ()
    server.start()
    yield server
    server.close()


@pytest.fixture
def stack(
    processes: Processes, production_env: dict[str, str], tmp_path: Path, broker: RabbitMQ
) -> Stack:
    delete_queues(broker)
    return Stack(processes, production_env | {"CELERY_BROKER_URL": broker.url}, tmp_path)


def delete_queues(broker: RabbitMQ) -> None:
    with Connection(broker.url) as connection, connection.channel() as channel:
        for queue in queues("amqp"):
            queue.bind(channel).delete()


def depth(broker: RabbitMQ, name: str = NORMAL) -> int:
    [queue] = [queue for queue in queues("amqp") if queue.name == name]
    with Connection(broker.url) as connection, connection.channel() as channel:
        return int(queue.bind(channel).queue_declare(passive=True).message_count)


def test_messages_are_kept_over_a_crash_of_the_broker(broker: RabbitMQ, stack: Stack) -> None:
    worker = stack.worker()  # declares the queues
    assert worker.stop() == 0
    stack.accept(1)  # more in one call would wait for a dispatcher
    wait_until(lambda: depth(broker) > 0, what="the relay has published")
    broker.kill()
    broker.start()
    # A quorum queue says 0 until its leader is elected; with no worker nobody publishes anew.
    wait_until(lambda: depth(broker) > 0, what="the message is there after the crash")
    stack.worker()
    stack.wait_until_done(60)
    assert set(stack.hits().values()) == {1}


def test_a_worker_takes_up_a_queue_that_was_deleted_under_it(
    broker: RabbitMQ, stack: Stack
) -> None:
    worker = stack.worker()
    delete_queues(broker)
    ids = stack.accept(5)
    stack.wait_until_done(60)
    assert stack.hits() == dict.fromkeys(ids, 1)
    assert worker.is_running()


def test_a_classic_queue_of_an_older_installation_is_told_of_with_the_remedy(
    broker: RabbitMQ, stack: Stack
) -> None:
    with Connection(broker.url) as connection, connection.channel() as channel:
        old = Queue(NORMAL).bind(channel)
        old.declare()
        worker: Process = stack.worker(wait=False)
        worker.wait_for_text("rabbitmqctl delete_queue", timeout=60)
        assert worker.is_running()
        ids = stack.accept(5)
        old.delete()
    stack.wait_until_done(60)
    assert stack.hits() == dict.fromkeys(ids, 1)
