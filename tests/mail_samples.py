"""All kinds of e-mails that Django can write, each made anew when it is asked for."""

import email.policy
from collections.abc import Callable
from email.message import EmailMessage as PythonMessage
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.text import MIMEText
from typing import Any

import django
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.functional import lazystr

Sample = Callable[[], EmailMessage]

FROM, TO = "shop@example.com", "ada@example.org"
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
GREETING = "Grüße aus Köln — 你好 📦"
MODERN = django.VERSION >= (6, 0)


def plain(subject: str = "Subject", body: str = "Body", **values: Any) -> Sample:
    fields = {"from_email": FROM, "to": [TO], **values}
    return lambda: EmailMessage(subject, body, **fields)


def with_html(body: str = "Body", html: str = "<p>Body</p>", **values: Any) -> Sample:
    def make() -> EmailMessage:
        message = EmailMultiAlternatives(
            "Subject", body, **{"from_email": FROM, "to": [TO], **values}
        )
        message.attach_alternative(html, "text/html")
        return message

    return make


def changed(change: Callable[[EmailMessage], object], sample: Sample | None = None) -> Sample:
    def make() -> EmailMessage:
        message = (sample or plain())()
        change(message)
        return message

    return make


def attached(*file: Any, sample: Sample | None = None) -> Sample:
    return changed(lambda message: message.attach(*file), sample)


def inline_image(message: EmailMessage) -> None:
    if MODERN:
        part: Any = PythonMessage(policy=email.policy.SMTP)
        part.set_content(PIXEL, "image", "png", disposition="inline", cid="<logo>")
        del part["MIME-Version"]
    else:
        part = MIMEImage(PIXEL, "png")
        part.add_header("Content-ID", "<logo>")
        part.add_header("Content-Disposition", "inline", filename="logo.png")
    message.attachments.append(part)


def own_part(message: EmailMessage) -> None:
    part = MIMEBase("application", "x-own")
    part.set_payload("own\nlines\n")
    part.add_header("X-Part", "of my own")
    message.attachments.append(part)


def forwarded() -> PythonMessage:
    inner = PythonMessage(policy=email.policy.SMTP if MODERN else email.policy.compat32)
    inner["Subject"], inner["From"], inner["To"] = "Inner", FROM, TO
    inner.set_payload("inner body\n")
    return inner


def in_encoding(encoding: Any, body: str) -> Sample:
    return changed(lambda message: setattr(message, "encoding", encoding), plain(body=body))


def as_html(message: EmailMessage) -> None:
    message.content_subtype = "html"


class Sealed(EmailMessage):
    """One that writes itself in its own way, as signing packages do."""

    def message(self, **values: Any) -> Any:
        written = super().message(**values)
        written["X-Seal"] = "sealed"
        return written


SAMPLES: dict[str, Sample] = {
    "plain": plain(),
    "empty body": plain(body=""),
    "empty subject": plain(subject=""),
    "one newline": plain(body="\n"),
    "many newlines": plain(body="a\n\n\nb\n\n"),
    "no newline at the end of long lines": plain(body="word " * 30),
    "CRLF in the body": plain(body="a\r\nb\r\nc\r\n"),
    "lone CR in the body": plain(body="a\rb\r"),
    "dots at the beginning of lines": plain(body=".\n..\n.a\n...\n."),
    "From at the beginning of a line": plain(body="From here\n>From there\n"),
    "trailing spaces and tabs": plain(body="a \nb\t\n \n"),
    "unicode in the body": plain(body=GREETING),
    "unicode in the subject": plain(subject=GREETING),
    "unicode everywhere": plain(GREETING, GREETING, from_email="Bücher <shop@example.com>"),
    "a long subject": plain(subject="long " * 60 + "end"),
    "a long subject without a space": plain(subject="x" * 300),
    "a long unicode subject": plain(subject="Köln " * 60),
    "a body of very long lines": plain(body="x" * 2000 + "\n" + "é" * 1500),
    "a long ASCII line": plain(body="x" * 1200),
    "names": plain(from_email="The Shop <shop@example.com>", to=["Ada Lovelace <ada@example.org>"]),
    "quoted names": plain(
        to=['"Lovelace, Ada" <ada@example.org>', '"A \\"B\\" C" <b@example.org>']
    ),
    "unicode names": plain(to=["Ädä Lövelace <ada@example.org>", "李 <li@example.org>"]),
    "a domain beyond ASCII": plain(to=["ada@bücher.example"], from_email="shop@köln.example"),
    "a mailbox without a domain": plain(from_email="webmaster", to=["root"]),
    "a quoted mailbox": plain(to=['"ada love"@example.org']),
    "several recipients": plain(to=[TO, "bob@example.org", "Eve <eve@example.org>"]),
    "many recipients": plain(to=[f"reader-{n}@example.org" for n in range(40)]),
    "the same recipient twice": plain(to=[TO, TO]),
    "copies": plain(cc=["Bob <bob@example.org>", "carol@example.org"]),
    "blind copies": plain(bcc=["secret@example.org", "Hidden <hidden@example.org>"]),
    "copies of both kinds": plain(cc=["bob@example.org"], bcc=["secret@example.org"]),
    "nobody but copies": plain(to=[], cc=["bob@example.org"]),
    "nobody but blind copies": plain(to=[], bcc=["secret@example.org"]),
    "answers to others": plain(reply_to=["Help <help@example.com>", "office@example.com"]),
    "answers to unicode": plain(reply_to=["Hülfe <help@example.com>"]),
    "own headers": plain(
        headers={"X-Campaign": "spring", "Precedence": "bulk", "List-ID": "<a.b>"}
    ),
    "a unicode header": plain(headers={"X-Name": GREETING}),
    "a long header": plain(
        headers={"References": " ".join(f"<{n}@example.com>" for n in range(40))}
    ),
    "its own From header": plain(headers={"From": "Other <other@example.com>"}),
    "its own To header": plain(headers={"To": "list@example.com"}, to=[TO, "bob@example.org"]),
    "its own Cc and Reply-To headers": plain(
        headers={"Cc": "crowd@example.com", "Reply-To": "desk@example.com"}, cc=["bob@example.org"]
    ),
    "its own date and id": plain(
        headers={"date": "Fri, 09 Nov 2001 01:08:47 -0000", "Message-ID": "<own@example.com>"}
    ),
    "a sender and a return path": plain(headers={"Sender": "bot@example.com"}),
    "lazy texts": plain(lazystr("Lazy"), lazystr("lazy body"), from_email=lazystr(FROM)),
    "html beside text": with_html(),
    "html alone": changed(as_html, plain(body="<p>only</p>")),
    "unicode html": with_html(GREETING, f"<p>{GREETING}</p>"),
    "html without a text": with_html(body=""),
    "several alternatives": changed(
        lambda m: m.attach_alternative("BEGIN:VCALENDAR\n", "text/calendar"), with_html()
    ),
    "an alternative of bytes": changed(
        lambda m: m.attach_alternative(PIXEL, "application/x-amp"), with_html()
    ),
    "a text file": attached("a.txt", "text in\na file\n", "text/plain"),
    "a text file of bytes": attached("a.txt", GREETING.encode(), "text/plain"),
    "a text file with CRLF": attached("a.csv", "a,b\r\n1,2\r\n", "text/csv"),
    "a text file that is none": attached("a.txt", b"\xff\xfe\x00", "text/plain"),
    "a binary file": attached("a.bin", bytes(range(256)) * 4, "application/octet-stream"),
    "a file of a guessed kind": attached("a.png", PIXEL),
    "a file of an unknown kind": attached("a.unknown-kind", b"bytes"),
    "a file with a unicode name": attached("Übersicht 你好.pdf", b"%PDF", "application/pdf"),
    "a file with a name of spaces": attached('my "file" name.pdf', b"%PDF", "application/pdf"),
    "a file without a name": attached(None, b"%PDF", "application/pdf"),
    "an empty file": attached("a.bin", b"", "application/octet-stream"),
    "a large file": attached("a.bin", bytes(range(256)) * 800, "application/octet-stream"),
    "several files": attached("b.txt", "b", "text/plain", sample=attached("a.pdf", b"%PDF")),
    "html and a file": attached("a.pdf", b"%PDF", "application/pdf", sample=with_html()),
    "a file and no body": attached("a.pdf", b"%PDF", "application/pdf", sample=plain(body="")),
    "an image in the html": changed(inline_image, with_html(html='<img src="cid:logo">')),
    "a part of its own making": changed(own_part),
    "a forwarded e-mail as text": attached(None, "Subject: Inner\n\nbody\n", "message/rfc822"),
    "a forwarded e-mail of Python's": attached(None, forwarded(), "message/rfc822"),
    "a forwarded e-mail of Django's": attached(None, plain("Inner", GREETING)(), "message/rfc822"),
    "latin-1": in_encoding("iso-8859-1", "Grüße"),
    "us-ascii": in_encoding("us-ascii", "plain"),
    "one that writes itself": lambda: Sealed("Subject", "Body", FROM, [TO]),
}

if not MODERN:  # what Django's newer versions no longer take
    SAMPLES["a MIME text"] = changed(lambda m: m.attach(MIMEText("part of text", "x-own")))
