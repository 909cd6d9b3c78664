"""What is to come back later keeps nothing away meanwhile, and comes at its time."""

import time

import pytest

from tests.worker.conftest import Outside

QUEUE = "notifications.sms.normal"
SECONDS = 8.0


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_countdowns_do_not_hold_up_their_queue(request: pytest.FixtureRequest, broker: str) -> None:
    """On RabbitMQ they wait in the broker: in a worker they would fill a prefetch that is fixed."""
    outside: Outside = request.getfixturevalue(f"on_{broker}")
    outside.start("-P", "prefork", "-c", "1")
    began = time.time()
    for number in range(4):
        outside.send_to(QUEUE, "named", number, countdown=SECONDS)
    time.sleep(1)  # so that a worker that would hold them does
    outside.send_to(QUEUE, "named", "now")
    lines = outside.wait_for("named", 5)
    assert lines[0][2] == "now"
    assert float(lines[0][0]) < began + SECONDS
    assert all(float(line[0]) >= began + SECONDS - 0.1 for line in lines[1:])
