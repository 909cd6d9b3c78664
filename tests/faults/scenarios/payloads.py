"""Messages that take the process along that holds them."""

from notifications.providers.base import Provider
from tests.faults.http_provider import POISON
from tests.faults.lab import RESCUED, Lab
from tests.faults.scenarios.base import Size, named
from tests.faults.stack import Stack
from tests.faults.verdict import Verdict

CRASHES = 3


def poison_before_the_send(lab: Lab, size: Size) -> Verdict:
    """Its worker dies before it is sent, so it may try again; after so often it is given up."""
    with lab.stack(MAX_ABANDONS=CRASHES) as stack:
        poison = _accept(stack, size)
        stack.worker(TEST_MUTATION="crash_before_mark")
        stack.finish(CRASHES * RESCUED + size(60, 20))
        verdict = stack.judge(may_end=poison)
        verdict.promise(verdict.ended == len(poison), f"it is given up: {verdict.ended}")
        most = CRASHES * Provider.window
        verdict.promise(verdict.unknown <= most, f"what was sent just before: {verdict.unknown}")
        return verdict


def poison_in_the_send(lab: Lab, size: Size) -> Verdict:
    """Its worker dies while it is being sent: it is parked, with what was beside it."""
    with lab.stack() as stack:
        poison = _accept(stack, size)
        stack.worker()
        stack.finish(RESCUED + size(60, 20))
        verdict = stack.judge()
        verdict.promise(
            len(poison) <= verdict.unknown <= Provider.window, f"a window: {verdict.unknown}"
        )
        return verdict


def _accept(stack: Stack, size: Size) -> list[str]:
    """A poisonous one among many, and in one message with them: that is the dispatcher's doing."""
    stack.accept(size(500, 20))
    poison = stack.accept(1, body=POISON)
    stack.accept(size(500, 20))
    stack.empty_broker()
    stack.faults = 1
    return poison


SCENARIOS = named(poison_before_the_send, poison_in_the_send)
