"""What every provider must do; a provider's test class inherits it.

The class gives a fixture `provider`, another one `impatient` whose time is soon up, and says with
which message that provider (or the server behind it) comes to each case of `CASES`. For a case
that it cannot come to it says `Lacks`, and why.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from notifications.enums import AttemptOutcome, Channel
from notifications.messages import Message, Outcome
from notifications.providers.base import Provider

CANARY = "canary5f3a"
"""Stands in everything that must not come back in an outcome or a log."""

CONTENT = {
    Channel.EMAIL: {"subject": f"{CANARY} subject", "body": f"{CANARY} body"},
    Channel.SMS: {"body": f"{CANARY} body"},
    Channel.WEBHOOK: {"event": "a.b", "payload": {"a": f"{CANARY} payload"}},
}


def message(channel: Channel, to: str, **values: Any) -> Message:
    values = {"content": CONTENT[channel], **values}
    return Message(key=str(uuid4()), channel=channel, tenant="shop", to=to, **values)


def send(provider: Provider, *messages: Message, seconds: float = 60) -> list[Outcome]:
    return provider.send(messages, time.monotonic() + seconds)


WAIT_SECONDS = 30.0
"""What a provider asks for in the case `throttled_for_long`."""


@dataclass(frozen=True)
class Lacks:
    """Why a provider cannot come to a case."""

    reason: str


Case = Message | Lacks

CASES = {
    "transient": "transient",
    "throttled": "throttled",
    "throttled_for_long": "throttled",
    "permanent": "permanent",
    "credentials": "transient",
    "silent": "ambiguous",
    "cut": "ambiguous",
    "malformed": "ambiguous",
}
"""Each with the kind of outcome that it is."""


class ProviderConformance:
    judged: ClassVar[type[Provider]]

    @pytest.fixture(autouse=True, params=[1, 4], ids="at_once_{}".format)
    def concurrency(self, provider: Provider, request: pytest.FixtureRequest) -> None:
        """Everything holds as well while several messages are sent at the same time."""
        provider.concurrency = request.param

    def accepted(self) -> Message:
        raise NotImplementedError

    def transient(self) -> Message:
        """Certainly not taken, and perhaps taken later."""
        raise NotImplementedError

    def permanent(self) -> Message:
        raise NotImplementedError

    def throttled(self) -> Case:
        """Refused for being too fast, without a word of how long."""
        raise NotImplementedError

    def throttled_for_long(self) -> Case:
        """Refused for being too fast, for `WAIT_SECONDS`."""
        raise NotImplementedError

    def credentials(self) -> Case:
        """Refused because of who we are: no message's fault."""
        raise NotImplementedError

    def silent(self) -> Case:
        """The request was read, and nothing came back in time."""
        raise NotImplementedError

    def cut(self) -> Message:
        """The request was read, and the connection lost."""
        raise NotImplementedError

    def malformed(self) -> Case:
        """The request was read, and the answer is a success that makes no sense."""
        raise NotImplementedError

    def test_it_says_what_it_carries(self, provider: Provider):
        assert provider.channels
        assert self.accepted().channel in provider.channels
        assert provider.window >= type(provider).concurrency >= 1

    def test_what_is_taken_is_accepted(self, provider: Provider):
        [outcome] = send(provider, self.accepted())
        assert (outcome.kind, outcome.code, outcome.detail) == (AttemptOutcome.ACCEPTED, "", "")
        assert outcome.provider_message_id

    @pytest.mark.parametrize("case", CASES)
    def test_what_is_not_taken_is_sorted_and_explained(
        self, provider: Provider, case: str, request: pytest.FixtureRequest
    ):
        wanted = getattr(self, case)()
        if isinstance(wanted, Lacks):
            pytest.skip(f"{self.judged.__name__} has no case {case}: {wanted.reason}")
        by = request.getfixturevalue("impatient") if case == "silent" else provider
        [outcome] = send(by, wanted)
        assert outcome.kind == CASES[case]
        assert outcome.code.replace("_", "").isalnum()
        assert outcome.detail.endswith(".")
        assert not outcome.receipts
        assert case != "credentials" or outcome.code == "credentials"
        if outcome.kind == AttemptOutcome.THROTTLED:
            assert outcome.retry_after == (WAIT_SECONDS if case == "throttled_for_long" else None)

    def test_one_bad_message_harms_no_other(self, provider: Provider):
        bad = [self.permanent(), self.transient(), self.cut()]
        batch = [self.accepted()]
        for each in bad:
            batch += [each, self.accepted()]
        kinds = [outcome.kind for outcome in send(provider, *batch)]
        expected = ["accepted", "permanent", "accepted", "transient"]
        assert kinds == [*expected, "accepted", "ambiguous", "accepted"]

    def test_it_answers_in_the_order_of_the_messages(self, provider: Provider):
        batch = [self.accepted() for _ in range(5)]
        ids = [outcome.provider_message_id for outcome in send(provider, *batch)]
        assert [each.key in id for each, id in zip(batch, ids, strict=True)] == [True] * 5

    def test_more_than_it_sends_at_once_are_answered_in_their_order(self, provider: Provider):
        batch = [self.permanent() if n % 3 == 0 else self.accepted() for n in range(20)]
        for each, outcome in zip(batch, send(provider, *batch), strict=True):
            accepted = outcome.kind == AttemptOutcome.ACCEPTED
            assert accepted == (each.key in outcome.provider_message_id)

    def test_it_touches_no_database(self, provider: Provider, django_db_blocker: Any):
        with django_db_blocker.block():  # for all threads
            outcomes = send(provider, *(self.accepted() for _ in range(6)))
        assert [outcome.kind for outcome in outcomes] == [AttemptOutcome.ACCEPTED] * 6

    def test_no_messages_get_no_outcomes(self, provider: Provider):
        assert send(provider) == []

    def test_after_the_deadline_nothing_is_begun(self, provider: Provider):
        outcomes = send(provider, self.accepted(), self.permanent(), seconds=-0.001)
        assert [(o.kind, o.code) for o in outcomes] == [("abandoned", "deadline")] * 2

    def test_it_says_how_long_it_took(self, provider: Provider):
        began = time.monotonic()
        [outcome] = send(provider, self.accepted())
        assert 0 < outcome.seconds <= time.monotonic() - began

    def test_recipient_and_content_appear_nowhere(
        self, provider: Provider, caplog: pytest.LogCaptureFixture
    ):
        cases = [getattr(self, case)() for case in CASES if case != "silent"]
        batch = [self.accepted(), *(case for case in cases if isinstance(case, Message))]
        outcomes = send(provider, *batch)
        words = [CANARY, *(each.to for each in batch)]
        logged = [r.getMessage() for r in caplog.records if r.name.startswith("notifications")]
        said = " ".join([f"{o.code} {o.detail}" for o in outcomes] + logged)
        assert not [word for word in words if word in said]

    def test_nonsense_is_an_outcome_and_no_exception(self, provider: Provider):
        nonsense = [
            replace(self.accepted(), to="", content={}),
            replace(
                self.accepted(), to="\ud800\r\n@\x00", content={"body": 7, "payload": object()}
            ),
        ]
        assert len(send(provider, *nonsense)) == 2

    def test_threads_may_share_it(self, provider: Provider):
        batches = [[self.accepted() for _ in range(4)] for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(lambda batch: send(provider, *batch), batches))
        for batch, outcomes in zip(batches, results, strict=True):
            assert all(
                each.key in o.provider_message_id for each, o in zip(batch, outcomes, strict=True)
            )

    def test_it_works_again_after_close(self, provider: Provider):
        send(provider, self.accepted())
        provider.close()
        provider.close()
        [outcome] = send(provider, self.accepted())
        assert outcome.kind == AttemptOutcome.ACCEPTED

    def test_unknown_options_are_reported_with_the_known_ones(self, provider: Provider):
        [problem] = type(provider).problems({"NO_SUCH": 1})
        assert '"NO_SUCH"' in problem
        assert all(name in problem for name in provider.known_options)
