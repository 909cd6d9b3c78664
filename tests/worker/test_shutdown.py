import os
from collections.abc import Iterator

import pytest

from notifications.worker import shutdown, stopping


@pytest.fixture(autouse=True)
def _begun_anew() -> Iterator[None]:
    shutdown.renew()
    yield
    shutdown.renew()


def test_a_child_forked_before_sees_what_its_parent_announces() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reader, 1)
        os._exit(stopping())
    shutdown.announce()
    os.write(writer, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_new_beginning_is_not_told_to_earlier_children() -> None:
    shutdown.announce()
    shutdown.renew()
    assert not stopping()
