"""What a newcomer does: clone, `make run`, and nothing but HTTP and the printed key from there."""

import logging
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import requests
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.processes import ROOT, Process, Processes, wait_until
from tests.servers.base import free_port

report = logging.getLogger(__name__).info
"""Figures of a run; shown by `--log-cli-level=INFO`."""

pytestmark = pytest.mark.timeout(400)

KEY = re.compile(r"nk_\S+")


class Mailbox:
    """Keeps what a real SMTP server took in."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 OK"

    def arrived(self) -> dict[str, EmailMessage]:
        recipients = [envelope.rcpt_tos[0] for envelope in self.envelopes]
        return dict(zip(recipients, self.messages(), strict=True))

    def messages(self) -> list[EmailMessage]:
        found = []
        for envelope in self.envelopes:
            content = envelope.content
            assert isinstance(content, bytes)
            message = message_from_bytes(content, policy=policy.default)
            assert isinstance(message, EmailMessage)
            found.append(message)
        return found


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


def environment(port: int, smtp_port: int) -> dict[str, str]:
    """A fresh machine's: none of our settings, and a mail server."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_CACHE_DIR")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env["PATH"] = env["PATH"].replace(f"{ROOT}/.venv/bin:", "")
    # What nobody will import need not be compiled; only a test is in such a hurry.
    env["PIP_COMPILE"] = "0"
    return env | {"PORT": str(port), "EMAIL_URL": f"smtp://127.0.0.1:{smtp_port}"}


def make_run(processes: Processes, clone: Path, env: dict[str, str], within: float) -> Process:
    process = processes.start("make-run", ["make", "-C", str(clone), "run"], env)
    process.wait_for_text("Serving on", timeout=within)
    return process


class Client:
    """Knows an address and a key, nothing else."""

    def __init__(self, port: int, key: str) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def notify(self, **body: Any) -> requests.Response:
        return self.session.post(f"{self.base}/notify", json=body, timeout=10)

    def get(self, url: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.session.get(url, timeout=10).json()
        return answer

    def settled(self, url: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.get(url)
            return found if found["status"] not in ("queued", "sending", "retrying") else None

        return wait_until(look, timeout=20, what="a settled notification")


def test_a_newcomer_sends_mail_that_arrives_once_each(
    processes: Processes, tmp_path: Path, mailbox: tuple[Mailbox, int]
) -> None:
    box, smtp_port = mailbox
    port, clone = free_port(), tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    env = environment(port, smtp_port)
    process = make_run(processes, clone, env, within=300)
    key = KEY.search(process.text())
    assert key, process.text()
    client = Client(port, key[0])

    urls = []
    for number in range(20):
        body = {
            "channel": "email",
            "to": f"user{number}@example.com",
            "subject": f"Bestellung № {number}",
            "body": f"Grüße, Nummer {number}.\n",
            "html": f"<p>Grüße, Nummer <b>{number}</b>.</p>",
            "idempotency_key": f"order-{number}",
        }
        answers = [client.notify(**body) for _ in range(3)]
        assert [a.status_code for a in answers] == [202, 200, 200]
        assert len({a.json()["id"] for a in answers}) == 1
        urls.append(answers[0].headers["Location"])

    for url in urls:
        found = client.settled(url)
        assert found["status"] == "sent", found
        assert [a["outcome"] for a in found["attempts"]] == ["accepted"]

    counts = Counter(envelope.rcpt_tos[0] for envelope in box.envelopes)
    assert counts == {f"user{number}@example.com": 1 for number in range(20)}
    for number, url in enumerate(urls):
        check_message(box.arrived()[f"user{number}@example.com"], number, url)

    process.signal(signal.SIGINT)
    process.wait(30)
    assert "Stopped." in process.text(), process.text()
    again = time.monotonic()
    second = make_run(processes, clone, env, within=30)
    report(f"the second `make run` was ready after {time.monotonic() - again:.1f} s")
    assert not KEY.search(second.text()), "a secret is shown only once"
    assert client.get(urls[0])["status"] == "sent", "the data is kept"


def check_message(message: EmailMessage, number: int, url: str) -> None:
    assert message["Subject"] == f"Bestellung № {number}"
    assert message["To"] == f"user{number}@example.com"
    assert message["From"] == "notifications@localhost"
    assert message["Message-ID"].startswith(f"<{url.rsplit('/', 1)[1]}@")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == f"Grüße, Nummer {number}."
    assert html.get_content().strip() == f"<p>Grüße, Nummer <b>{number}</b>.</p>"
