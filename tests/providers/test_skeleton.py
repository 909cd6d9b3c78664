"""A message that was filled in, against the same message built by Django."""

import email
import email.policy
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import pytest
from django.core.mail import EmailMultiAlternatives
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifications.messages import Message
from notifications.providers.django_email import DjangoEmailProvider

from .conformance import message

CHANGING = (
    (rb"={15}[0-9]{19}==", b"BOUNDARY"),
    (rb"(?m)^Date: .*$", b"Date: now"),
)

PLAIN = "Hello Ada,\n\nyour order has been shipped.\n"
ODDITIES = (
    "",
    "\n",
    "no end of line",
    "two\n\n",
    "From here on\nFrom there\n",
    ".\n..\n.leading dot\n",
    "a = b; =20 =\n",
    "trailing blanks \t\n  leading ones\n",
    "windows\r\nmac\rmixed\r\n",
    "form\x0cfeed and \x00 and \x1b\n",
    "separators\x85and\u2028more\u2029\n",
    "Grüße aus Köln\n",
    "日本語のメール\n" * 5,
    "smile 😀\n",
    "x" * 78 + "\n",
    "x" * 79 + "\n",
    "x" * 998 + "\n",
    "x" * 999,
    "ü" * 500,
    "--===============0000000000000000001==\n",
    "sample=body\n",
    "\ud800 half a character",
)
SUBJECTS = (
    "Order 4711 has been shipped",
    "",
    "x",
    " blanks around ",
    "two  blanks\tand a tab",
    "x" * 60,
    "x" * 61,
    "words " * 40,
    "Bestellung für Günther",
    "ご注文の品を発送しました " * 6,
    "=?utf-8?q?encoded?= already",
    "a =? b",
    'colon: and, comma; "quotes" <brackets>',
    "Subject: sample-subject",
    "tail\x7f",
    "half \ud800",
)
words = st.text(st.sampled_from('abc xyz=.-?_<>:,;"\t\n\r\x00\x0b\x0c\x1c\x85\u2028\xa0éß語😀F'))
bodies = st.one_of(
    st.sampled_from(ODDITIES),
    words,
    st.lists(st.one_of(st.sampled_from(ODDITIES), words), max_size=4).map("\n".join),
    st.integers(70, 90).map(lambda n: "x" * n + "\n"),
    st.integers(990, 1005).map(lambda n: "line\n" + "é" + "x" * n),
)
subjects = st.one_of(
    st.sampled_from(SUBJECTS), st.text(max_size=100), words, st.text("ab c", max_size=90)
)


@pytest.fixture(scope="module")
def provider() -> DjangoEmailProvider:
    return DjangoEmailProvider("smtp", {"FROM": "Shop Ünlimited <shop@example.com>"}, 5.0)


def djangos(provider: DjangoEmailProvider, content: Mapping[str, Any], to: str, key: str) -> bytes:
    """What Django makes of it, with the ends of lines that SMTP has."""
    body, html = content.get("body") or "", content.get("html") or ""
    built = EmailMultiAlternatives(
        content["subject"],
        body or html,
        provider.from_email,
        [to],
        headers={"Message-ID": f"<{key}@example.com>", "X-Notification-ID": key},
    )
    if html and body:
        built.attach_alternative(html, "text/html")
    elif html:
        built.content_subtype = "html"
    return re.sub(rb"\r\n|\r|\n", b"\r\n", built.message().as_bytes())


def still(data: bytes) -> bytes:
    """Without what is new in every message."""
    for pattern, replacement in CHANGING:
        data = re.sub(pattern, replacement, data)
    return data


def outcome_of(build: Any, *arguments: Any) -> bytes | str:
    try:
        return still(build(*arguments))
    except Exception as error:
        return type(error).__name__


def filled(provider: DjangoEmailProvider, content: Mapping[str, Any], to: str, key: str) -> bytes:
    """As the provider does it: what is not filled in is built by Django."""
    made = provider._skeletons.fill(content, to, key)
    return djangos(provider, content, to, key) if made is None else made


@given(subject=subjects, body=bodies, html=bodies)
@example("Order 4711", PLAIN, "")
@example("Order 4711", PLAIN, "<p>Hello</p>\n")
@example("Order 4711", "", "<p>Hello</p>")
@example("Bestellung für 4711", "Grüße", "<p>Grüße</p>")
@settings(max_examples=400, deadline=None)
def test_it_is_what_django_makes_of_it(
    provider: DjangoEmailProvider, subject: str, body: str, html: str
):
    content = {"subject": subject, "body": body, "html": html}
    arguments = (provider, content, "ada@example.org", str(uuid4()))
    assert outcome_of(filled, *arguments) == outcome_of(djangos, *arguments)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_is_what_django_makes_of_it(provider: DjangoEmailProvider, subject: str):
    content = {"subject": subject, "body": PLAIN}
    arguments = (provider, content, "ada@example.org", str(uuid4()))
    assert outcome_of(filled, *arguments) == outcome_of(djangos, *arguments)


@pytest.mark.parametrize("html", [False, True], ids=["text", "text and html"])
@pytest.mark.parametrize("body", ODDITIES, ids=lambda body: repr(body[:20]))
def test_every_text_is_what_django_makes_of_it(
    provider: DjangoEmailProvider, body: str, html: bool
):
    content = {"subject": "Order", "body": body, "html": "<p>Hello</p>\n" if html else ""}
    arguments = (provider, content, "ada@example.org", str(uuid4()))
    assert outcome_of(filled, *arguments) == outcome_of(djangos, *arguments)


@pytest.mark.parametrize(
    "to",
    [
        "ada@example.org",
        "Ada.Lovelace+news_1-2@mail.EXAMPLE.org",
        "a" * 64 + "@example.org",
        "a@" + "b" * 60 + ".example",
        "a..b@example.org",
        ".a@example.org",
        "o'neill@example.org",
        "a/b=c@example.org",
        "a@xn--bcher-kva.example",
    ],
)
def test_every_recipient_is_what_django_makes_of_it(provider: DjangoEmailProvider, to: str):
    arguments = (provider, {"subject": "Order", "body": PLAIN}, to, str(uuid4()))
    assert outcome_of(filled, *arguments) == outcome_of(djangos, *arguments)


@pytest.mark.parametrize(
    "content",
    [
        {"subject": "Order 4711", "body": PLAIN},
        {"subject": "Bestellung für 4711", "body": "Grüße\n"},
        {"subject": "Order", "html": "<p>Hello</p>\n"},
        {"subject": "Order " * 20, "body": PLAIN, "html": "<p>Grüße</p>"},
    ],
    ids=["ascii", "utf-8", "html", "both"],
)
def test_the_usual_is_filled_in(provider: DjangoEmailProvider, content: Mapping[str, str]):
    assert provider._skeletons.fill(content, "ada@example.org", str(uuid4()))


@pytest.mark.parametrize(
    ("content", "to", "key"),
    [
        ({"subject": "x", "body": "x" * 999}, "ada@example.org", str(uuid4())),
        ({"subject": "x", "body": ""}, "ada@example.org", str(uuid4())),
        ({"subject": "x", "body": 7}, "ada@example.org", str(uuid4())),
        ({"subject": 7, "body": "x"}, "ada@example.org", str(uuid4())),
        ({"subject": "x", "body": "x"}, '"a b"@example.org', str(uuid4())),
        ({"subject": "x", "body": "x"}, "ада@example.org", str(uuid4())),
        ({"subject": "x", "body": "x"}, "ada@example.org", "key\r\nBcc: eve@example.org"),
    ],
)
def test_what_is_not_exactly_so_is_left_to_django(
    provider: DjangoEmailProvider, content: Mapping[str, Any], to: str, key: str
):
    assert provider._skeletons.fill(content, to, key) is None


def test_a_sender_that_looks_like_a_sample_leaves_all_to_django():
    provider = DjangoEmailProvider("smtp", {"FROM": "sample-recipient@example.org"}, 5.0)
    assert provider._skeletons.fill({"subject": "x", "body": "x"}, "a@b.example", KEY) is None


@pytest.mark.parametrize("charset", ["iso-8859-1", "us-ascii"])
def test_another_charset_of_the_project_is_djangos_matter(settings, charset: str):
    settings.DEFAULT_CHARSET = charset
    provider = DjangoEmailProvider("smtp", {"FROM": "shop@example.com"}, 5.0)
    for body in ("plain\n", "Grüße = \n", "x" * 200):
        arguments = (provider, {"subject": "x", "body": body}, "ada@example.org", KEY)
        assert outcome_of(filled, *arguments) == outcome_of(djangos, *arguments)


def test_a_message_is_dated_when_it_is_made(provider: DjangoEmailProvider):
    for _ in range(2):
        letter = provider.render(message_to("ada@example.org"))
        date = email.message_from_bytes(letter.data, policy=email.policy.default)["Date"]
        assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 2
        time.sleep(1.1)


def test_no_two_messages_share_a_boundary(provider: DjangoEmailProvider):
    content = {"subject": "x", "body": "x", "html": "y"}
    letters = [provider.render(message_to("ada@example.org", content)) for _ in range(20)]
    parsed = [email.message_from_bytes(letter.data) for letter in letters]
    assert len({each.get_boundary() for each in parsed}) == 20
    assert all(len(each.get_payload()) == 2 for each in parsed)


def test_one_message_says_nothing_of_another(provider: DjangoEmailProvider):
    provider.render(message_to("ada@example.org", {"subject": "secret", "body": "secret"}))
    letter = provider.render(message_to("bob@example.org", {"subject": "x", "body": "x"}))
    assert b"secret" not in letter.data
    assert b"ada@" not in letter.data
    assert b"sample" not in letter.data


KEY = str(uuid4())


def message_to(to: str, content: Mapping[str, Any] | None = None) -> Message:
    return message("email", to, content=content or {"subject": "Order", "body": PLAIN})
