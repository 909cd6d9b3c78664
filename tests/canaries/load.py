"""What is marked, and a load that takes it through every way in and out, most of which fail."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import requests

MARK = "CANARY"
PHONE = "+14155552671"


def mark(what: str) -> str:
    return f"{MARK}-{what}-5b1f"


def email(word: str) -> str:
    """An address; its word tells the mail server what to do (`tests.providers.smtp_server`)."""
    return f"{word}@{MARK.lower()}-to.example.com"


MARKS = {
    "recipient": f"{MARK.lower()}-to",
    "number": PHONE[1:],
    **{
        name: mark(name)
        for name in (
            *("subject", "body", "html", "payload", "context", "template", "metadata"),
            *(
                "secret-key",
                "hook",
                "note",
                "key",
                "password",
                "token",
                "metrics",
                "wrong-bearer",
                "aws",
            ),
        )
    },
}
"""What must not be found, by what it is."""


def forms(text: str) -> set[str]:
    """How the text reads in a log, an address, a JSON text or a token."""
    raw = text.encode()
    encoded = {b64encode(raw).decode(), urlsafe_b64encode(raw).decode()}
    return {text, quote(text), quote_plus(text), json.dumps(text)[1:-1], *encoded}


def leaks(marks: Mapping[str, str], outputs: Mapping[str, str]) -> list[str]:
    """Each mark that stands in an output, with what stands around it."""
    return [
        f"{name} in {place}: …{text[max(0, at - 150) : at + 80]}…"
        for place, text in outputs.items()
        for name, value in marks.items()
        for form in forms(value)
        if (at := text.lower().find(form.lower())) >= 0
    ]


class Load:
    """Speaks to the API; keeps the problems that it was answered, which are outputs too."""

    def __init__(self, base: str, key: str, hooks: str) -> None:
        self.base, self.key, self.hooks = base, key, hooks
        self.secrets: list[str] = []
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"
        self.problems: list[str] = []
        self.statuses: list[int] = []

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **headers}
        answer = self.session.request(
            method,
            f"{self.base}{path}",
            data=data if body is not None else None,
            headers={name.replace("_", "-"): value for name, value in sent.items()},
            timeout=30,
        )
        self.statuses.append(answer.status_code)
        if answer.status_code >= 400:
            self.problems.append(answer.text + str(dict(answer.headers)))
        return answer

    def all_of_it(self) -> list[str]:
        """Everything once; the ids of what was accepted."""
        self._refused()
        self._stored()
        accepted = [self.ask("POST", "/notify", body) for body in self._bodies()]
        batch = {"notifications": [*self._bodies(), {"channel": "sms", "to": mark("body")}]}
        answer = self.ask("POST", "/notify/batch", batch).json()
        ids = [each["id"] for each in answer["results"] if each["id"]]
        for id in ids[:4]:
            for verb in ("cancel", "retry"):
                self.ask("POST", f"/notifications/{id}/{verb}", {})
        return [*ids, *(each.json()["id"] for each in accepted)]

    def _bodies(self) -> Iterable[dict[str, Any]]:
        for word in ("ok", "rcpt-550", "rcpt-450", "dot-550", "drop-dot", "drop-data", "refused"):
            yield {**EMAIL, "to": email(word)}
        yield {**EMAIL, "to": email("ok"), "metadata": {"break": "database", "m": mark("metadata")}}
        for way in ("provider", "", "database"):
            yield {**SMS, "metadata": {"break": way, "m": mark("metadata")}}
        for way in ("ok", "500", "410", "reset", "302"):
            yield {**WEBHOOK, "to": self.hook(way)}
        yield {
            "channel": "email",
            "to": email("ok"),
            "template": "canary",
            "context": {"name": mark("context")},
        }

    def hook(self, way: str) -> str:
        return f"{self.hooks}/{way}/{mark('hook')}?token={mark('hook')}"

    def _refused(self) -> None:
        """What is wrong in every way that comes to mind, with something marked in it each time."""
        self.ask("POST", "/notify", {**EMAIL, "to": f"{mark('body')}, {email('ok')}"})
        self.ask(
            "POST", "/notify", {**EMAIL, "subject": mark("subject") + "\r\nBcc: x@example.com"}
        )
        self.ask("POST", "/notify", {**EMAIL, "priority": mark("body"), "send_at": mark("body")})
        self.ask(
            "POST", "/notify", {**SMS, "to": PHONE + "x", "metadata": {"m": [mark("metadata")]}}
        )
        self.ask("POST", "/notify", {**WEBHOOK, "to": f"https://10.0.0.1/{mark('hook')}"})
        self.ask("POST", "/notify", f'{{"to": "{mark("body")}"'.encode())
        self.ask("POST", "/notify", mark("body").encode() + b"\xff")
        self.ask("POST", "/notify", mark("body").encode(), Content_Type="text/plain")
        self.ask("POST", "/notify", {**EMAIL, "body": mark("body") * 20_000})
        self.ask("POST", "/notify", EMAIL, Idempotency_Key=mark("key"))
        self.ask("POST", "/notify", {**EMAIL, "body": "other"}, Idempotency_Key=mark("key"))
        self.ask("POST", "/notify", EMAIL, Idempotency_Key=mark("key") + " \x7f")
        self.ask("POST", "/notify", EMAIL, Authorization=f"Bearer {mark('wrong-bearer')}")
        self.ask(
            "POST", "/notify", {**EMAIL, "template": "none", "context": {"a": mark("context")}}
        )
        for query in ("to", "idempotency_key", "cursor", "created_after"):
            self.ask("GET", f"/notifications?{query}={quote(mark('body'))}")
        self.ask("GET", f"/notifications?to={quote(email('ok'))}")
        self.ask("PUT", "/templates/broken", {**TEMPLATE, "body": mark("template") + "{% if"})
        self.ask("POST", "/receipts/twilio", mark("body").encode())
        self.ask("POST", "/receipts/none", mark("body").encode())

    def _stored(self) -> None:
        self.ask("PUT", "/templates/canary", TEMPLATE)
        self.ask("POST", "/templates/canary/preview", {"context": {"other": mark("context")}})
        for word, note in (("s1", mark("note")), ("s2", f"{mark('note')} explode")):
            entry = {"channel": "email", "recipient": email(word), "note": note}
            self.ask("POST", "/suppressions", entry)
        self.ask("POST", "/suppressions", {"channel": "email", "recipient": mark("body")})
        self.secrets = [
            self.ask("POST", "/endpoints", {"url": self.hook(way)}).json()["secret"]
            for way in ("ok", "410")
        ]
        self.ask("POST", "/endpoints", {"url": self.hook("ok")})


EMAIL = {
    "channel": "email",
    "to": email("ok"),
    "subject": mark("subject"),
    "body": mark("body"),
    "html": f"<p>{mark('html')}</p>",
    "cc": [email("cc")],
    "reply_to": [email("reply")],
    "headers": {"X-Order": mark("header")},
    "attachments": [
        {
            "filename": f"{mark('file')}.txt",
            "content_type": "text/plain",
            "content": b64encode(mark("attachment").encode()).decode(),
        }
    ],
    "metadata": {"m": mark("metadata")},
}
SMS = {"channel": "sms", "to": PHONE, "body": mark("body")}
WEBHOOK = {"channel": "webhook", "event": "a.b", "payload": {"p": mark("payload")}}
TEMPLATE = {"channel": "email", "subject": "{{ name }}", "body": mark("template") + " {{ name }}"}
