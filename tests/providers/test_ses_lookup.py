"""SES, asked what became of a message: boto3 speaks to a server that exports and tells."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from notifications.enums import Channel, ReceiptState
from notifications.messages import Message, Outcome, Pending
from notifications.providers import ses_insights
from notifications.providers.download import FetchFailed, download
from notifications.providers.ses import SESProvider
from notifications.providers.ses_insights import is_of_s3

from .conformance import message
from .http_server import HANG, RESET, Answer, Server
from .ses_server import AT, FILE, INSIGHTS, JOBS, SES, Mail, event, message_id, patient, refusal
from .test_ses import FROM, make

BEGAN = datetime(2026, 1, 31, 8, tzinfo=UTC)
TO = "ada@example.org"
K = ReceiptState

Ask = Callable[..., Outcome | Pending | None]


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[SES, SESProvider]]:
    """One for all: a client of boto3's takes long to make."""
    ses = SES()
    with ses.server, pytest.MonkeyPatch.context() as patch:
        patient(patch)
        provider = make(ses.server.url, timeout=30.0, MESSAGE_INSIGHTS=True)
        yield ses, provider
        provider.close()


@pytest.fixture
def ses(running: tuple[SES, SESProvider]) -> SES:
    running[0].forget()
    return running[0]


@pytest.fixture
def sent() -> Message:
    return message(Channel.EMAIL, TO)


@pytest.fixture
def ask(running: tuple[SES, SESProvider], ses: SES, sent: Message) -> Ask:
    return lambda note="job-1", began=BEGAN: running[1].look_up(sent, began, note)


def mail(key: str, number: int = 1, *events: dict[str, Any], to: str = TO) -> Mail:
    told = list(events) or [event("SEND")]
    return Mail(message_id(number), {"ses:from-domain": "x", "notification-id": key}, {to: told})


def test_it_is_asked_where_that_was_wished_for() -> None:
    plain = make("http://127.0.0.1:1")
    assert not plain.can_look_up
    assert plain.look_up(message(Channel.EMAIL, TO), BEGAN) is None
    [problem] = SESProvider.problems({"FROM": FROM, "MESSAGE_INSIGHTS": "yes"})
    assert "True or False" in problem
    able = make("http://127.0.0.1:1", MESSAGE_INSIGHTS=True)
    assert (able.can_look_up, able.looks_up_by_content) == (True, False)


def test_first_an_export_of_what_its_recipient_got_then_is_begun(ask: Ask, ses: SES) -> None:
    assert ask("") == Pending("job-1")
    assert ses.paths() == [JOBS]
    [wanted] = ses.exports()
    assert wanted["Include"] == {"Destination": [TO]}
    assert wanted["StartDate"] == (BEGAN - timedelta(minutes=1)).timestamp()
    assert wanted["EndDate"] == (BEGAN + timedelta(minutes=5)).timestamp()


def test_an_export_reaches_no_further_than_now(ask: Ask, ses: SES) -> None:
    ask("", datetime.now(UTC) - timedelta(minutes=1))
    assert ses.exports()[0]["EndDate"] <= datetime.now(UTC).timestamp()


@pytest.mark.parametrize("status", ["CREATED", "PROCESSING"])
def test_while_it_is_under_way_it_is_waited_for(ask: Ask, ses: SES, status: str) -> None:
    ses.statuses = [status]
    assert ask() == Pending("job-1")
    assert ses.paths() == [f"{JOBS}/job-1"]


def test_what_has_our_id_is_the_message(ask: Ask, ses: SES, sent: Message) -> None:
    ses.mails = [mail(sent.key)]
    found = ask()
    assert isinstance(found, Outcome)
    assert (found.kind, found.provider_message_id) == ("accepted", message_id(1))
    assert ses.paths() == [f"{JOBS}/job-1", FILE, f"{INSIGHTS}{message_id(1)}/"]


def test_what_has_another_s_id_is_not(ask: Ask, ses: SES, sent: Message) -> None:
    """Though it went to the same recipient, at the same time, with the same words."""
    other = message(Channel.EMAIL, TO).key
    ses.mails = [mail(other), Mail(message_id(2), {}, {}), mail(sent.key, 3), mail(sent.key, 4)]
    ses.mails.append(Mail(message_id(5), {"another-tag": sent.key}, {}))
    found = ask()
    assert isinstance(found, Outcome)
    assert found.provider_message_id == message_id(3)
    del ses.mails[2:4]
    assert ask() is None


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "TELEPORTED"])
def test_an_export_that_fails_is_begun_anew(
    ask: Ask, ses: SES, sent: Message, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    ses.mails, ses.statuses = [mail(sent.key)], [status]
    assert ask() is None
    assert ses.paths() == [f"{JOBS}/job-1"]
    assert f"could not export messages: {status}" in caplog.text


def test_its_absence_proves_nothing(ask: Ask, ses: SES) -> None:
    assert ask() is None
    ses.odd[INSIGHTS] = [refusal(404, "NotFoundException")]
    ses.mails = [mail("")]
    assert ask() is None


LAYOUTS = {
    "csv": 'Message ID,Subject\n"{0}","Hello, {0}"\n{1},x\n',
    "json": '{{"messages": [{{"MessageId": "{0}"}}, {{"messageId": "{1}"}}]}}',
    "lines": '{{"id": "{0}"}}\n{{"id": "{1}"}}\n',
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ids_are_found_however_the_file_is_laid_out(
    ask: Ask, ses: SES, sent: Message, layout: str
) -> None:
    ses.mails = [mail("another", 1), mail(sent.key, 2)]
    ses.file = LAYOUTS[layout].format(message_id(1), message_id(2)).encode()
    assert isinstance(ask(), Outcome)
    assert sum(path.startswith(INSIGHTS) for path in ses.paths()) == 2


@pytest.mark.parametrize(
    "file", [b"", b"\xff\x00", b"[7, {}]", b"<Error/>", f"x{message_id(1)}y".encode()]
)
def test_a_file_that_holds_none_says_nothing(
    ask: Ask, ses: SES, sent: Message, file: bytes
) -> None:
    ses.mails, ses.file = [mail(sent.key)], file
    assert ask() is None


def test_a_file_beyond_measure_is_read_no_further(
    ask: Ask, ses: SES, sent: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ses_insights, "FILE_MAX", 1000)
    ses.mails, ses.file = [mail(sent.key)], message_id(1).encode() + b" " * 1000
    assert ask() is None


@pytest.mark.parametrize("odd", [Answer(403), Answer(500), Answer(302), RESET, HANG])
def test_a_file_that_cannot_be_had_says_nothing(
    ask: Ask, ses: SES, sent: Message, odd: Answer | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose address was good for five minutes."""
    monkeypatch.setattr(ses_insights, "SECONDS", 0.5)
    ses.mails, ses.odd[FILE] = [mail(sent.key)], [odd]
    assert ask() is None


def test_a_file_that_comes_drop_by_drop_is_not_waited_for() -> None:
    with Server(lambda _: Answer(200, b"x" * 10, missing=10)) as server:
        with pytest.raises(FetchFailed, match="cut off"):
            download(server.url, 1000, 5.0)
        with pytest.raises(FetchFailed, match="too long"):
            download(server.url, 9, 5.0)


def test_nobody_else_is_asked_for_the_file(
    ask: Ask, ses: SES, sent: Message, caplog: pytest.LogCaptureFixture
) -> None:
    ses.mails = [mail(sent.key)]
    with Server(lambda _: Answer(200, message_id(1).encode())) as stranger:
        ses.file_url = f"{stranger.url}/export.json"
        assert ask() is None
    assert stranger.connections == 0
    assert stranger.url not in caplog.text


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://s3.eu-west-1.amazonaws.com/bucket/file?X-Amz-Expires=300", True),
        ("https://bucket.s3.eu-west-1.amazonaws.com/file", True),
        ("https://bucket.s3.amazonaws.com/file", True),
        ("https://my.bucket.s3.dualstack.us-gov-west-1.amazonaws.com/file", True),
        ("https://bucket.s3-eu-west-1.amazonaws.com/file", True),
        ("https://bucket.s3.cn-north-1.amazonaws.com.cn/file", True),
        ("http://bucket.s3.amazonaws.com/file", False),
        ("https://bucket.s3.amazonaws.com:8443/file", False),
        ("https://user@bucket.s3.amazonaws.com/file", False),
        ("https://bucket.s3.amazonaws.com.evil.example/file", False),
        ("https://evil.example/s3.amazonaws.com", False),
        ("https://evil.example#.s3.amazonaws.com/", False),
        ("https://evil.example\\@s3.amazonaws.com/", False),
        ("https://ec2-1-2-3-4.compute-1.amazonaws.com/file", False),
        ("https://s3.ec2-1-2-3-4.compute-1.amazonaws.com/file", False),
        ("https://x.execute-api.eu-west-1.amazonaws.com/file", False),
        ("https://evils3.amazonaws.com/file", False),
        ("https://s3.amazonaws.com\n/file", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("https://[::1", False),
        ("s3://bucket/file", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_the_file_is_at_amazon_s3(url: str, good: bool) -> None:
    assert is_of_s3(url) is good


# What it says


@pytest.mark.parametrize(
    ("told", "kind", "code"),
    [
        (event("SEND"), K.ACCEPTED, ""),
        (event("DELIVERY_DELAY"), K.IN_TRANSIT, "delayed"),
        (event("DELIVERY"), K.DELIVERED, ""),
        (event("COMPLAINT"), K.DELIVERED, "complaint"),
        (
            event("COMPLAINT", Complaint={"ComplaintSubType": "OnAccountSuppressionList"}),
            K.UNDELIVERED,
            "complaint",
        ),
        (event("REJECT"), K.UNDELIVERED, "rejected"),
        (event("RENDERING_FAILURE"), K.UNDELIVERED, "render_error"),
        (event("BOUNCE", Bounce={"BounceType": "PERMANENT"}), K.BOUNCED, "bounce"),
        (event("BOUNCE", Bounce={"BounceType": "TRANSIENT"}), K.UNDELIVERED, "soft_bounce"),
        (event("BOUNCE"), K.UNDELIVERED, "soft_bounce"),
    ],
)
def test_it_tells_what_became_of_it_as_an_event_would(
    ask: Ask, ses: SES, sent: Message, told: dict[str, Any], kind: ReceiptState, code: str
) -> None:
    ses.mails = [mail(sent.key, 1, told, event("OPEN"), event("TELEPORTED"))]
    found = ask()
    assert isinstance(found, Outcome)
    [receipt] = found.receipts
    assert (receipt.kind, receipt.code, receipt.recipient) == (kind, code, TO)
    assert receipt.occurred_at == datetime.fromtimestamp(AT, UTC)
    assert receipt.event_id == f"{message_id(1)}:0:{told['Type']}:{AT:.0f}"


# More than one look


def test_what_one_look_cannot_ask_for_the_next_one_does(ask: Ask, ses: SES, sent: Message) -> None:
    """SES tells of one message in a second."""
    ses.mails = [mail("another", number) for number in range(3)] + [mail(sent.key, 3)]
    slow = refusal(429, "TooManyRequestsException")
    first = f"{INSIGHTS}{quote(message_id(1))}"
    ses.odd[first] = [slow]
    assert ask() == Pending("job-1 1")
    ses.server.arrived.clear()
    assert isinstance(ask("job-1 1"), Outcome)
    asked = [path for path in ses.paths() if path.startswith(INSIGHTS)]
    assert asked == [f"{INSIGHTS}{message_id(number)}/" for number in (1, 2, 3)]


def test_a_look_comes_to_its_end(
    ask: Ask, ses: SES, sent: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ses_insights, "SECONDS", -1.0)
    monkeypatch.setattr(ses_insights, "download", lambda *_: message_id(1).encode())
    assert ask() == Pending("job-1 0")
    assert ses.paths() == [f"{JOBS}/job-1"]


@pytest.mark.parametrize("note", ["", "job-1"])
@pytest.mark.parametrize(
    "odd",
    [
        refusal(429, "TooManyRequestsException"),
        refusal(400, "LimitExceededException"),
        refusal(500, "InternalFailure"),
        RESET,
    ],
)
def test_what_passes_is_waited_for(ask: Ask, ses: SES, note: str, odd: Answer | str) -> None:
    ses.odd[JOBS] = [odd]
    assert ask(note) == Pending(note)
    assert len(ses.paths()) == 1


def test_who_does_not_answer_is_not_waited_for(ses: SES, sent: Message) -> None:
    ses.odd[JOBS] = [HANG]
    impatient = make(ses.server.url, timeout=0.6, MESSAGE_INSIGHTS=True)
    assert impatient.look_up(sent, BEGAN, "job-1") == Pending("job-1")
    impatient.close()


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"JobStatus": 7}', b'{"JobId": null}'])
def test_an_answer_that_says_nothing_begins_anew(ask: Ask, ses: SES, body: bytes) -> None:
    for note, expected in (("", Pending()), ("job-1", None)):
        ses.odd[JOBS] = [Answer(200, body)]
        assert ask(note) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"EmailTags": null}'])
def test_insights_that_say_nothing_are_another_s(
    ask: Ask, ses: SES, sent: Message, body: bytes
) -> None:
    ses.mails, ses.odd[INSIGHTS] = [mail(sent.key)], [Answer(200, body)]
    assert ask() is None


@pytest.mark.parametrize("note", ["", "job-1"])
@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NotFoundException"), (400, "BadRequestException"), (403, "AccessDeniedException")],
)
def test_what_is_refused_is_told_without_the_words_of_ses(
    ask: Ask, ses: SES, note: str, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    ses.odd[JOBS] = [refusal(status, code)]
    with caplog.at_level(logging.INFO, "notifications"):
        assert ask(note) is None
    assert code in caplog.text
    assert TO not in caplog.text
