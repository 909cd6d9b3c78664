"""An SES that remembers: it takes messages, exports them by and by, and tells their insights.

Its shapes are those of the service model of botocore (sesv2, 2019-09-27), which reads them.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest

from notifications.providers import ses as provider
from notifications.providers import ses_insights

from .http_server import RESET, Answer, Request, Server

INSIGHTS = "/v2/email/insights/"
JOBS = "/v2/email/export-jobs"
FILE = "/export.json?X-Amz-Expires=300"
AT = 1_893_456_000.0


def patient(patch: pytest.MonkeyPatch) -> None:
    """Let no answer be too late on a machine that is busy."""
    patch.setattr(provider, "LOOK_UP_SECONDS", 30.0)
    patch.setattr(ses_insights, "SECONDS", 60.0)


def message_id(number: int) -> str:
    """As SES makes them."""
    return f"0102019{number:09x}-9be39d61-31e8-4c15-8b4e-{number:012x}-000000"


def event(type: str, **details: Any) -> dict[str, Any]:
    return {"Type": type, "Timestamp": AT, "Details": details}


@dataclass
class Mail:
    """A message that SES has: `insights` are the events of each recipient."""

    id: str
    tags: dict[str, str]
    insights: dict[str, list[dict[str, Any]]]

    def told(self) -> dict[str, Any]:
        return {
            "MessageId": self.id,
            "EmailTags": [{"Name": name, "Value": value} for name, value in self.tags.items()],
            "Insights": [{"Destination": to, "Events": es} for to, es in self.insights.items()],
        }


@dataclass
class SES:
    """`odd` answers take the place of others, by the beginning of their path, one after another."""

    mails: list[Mail] = field(default_factory=list)
    statuses: list[str] = field(default_factory=lambda: ["COMPLETED"])
    odd: dict[str, list[Answer | str]] = field(default_factory=dict)
    file: bytes | None = None
    file_url: str = ""
    keeps: bool = True
    server: Server = field(init=False)

    def __post_init__(self) -> None:
        self.server = Server(self.answer)

    def forget(self) -> None:
        self.mails, self.statuses, self.odd = [], ["COMPLETED"], {}
        self.file, self.file_url = None, ""
        self.server.arrived.clear()

    def paths(self) -> list[str]:
        return [unquote(request.path) for request in self.server.arrived]

    def exports(self) -> list[dict[str, Any]]:
        """What was asked for in each job."""
        bodies = [r.body for r in self.server.arrived if r.path == JOBS and r.body]
        return [
            json.loads(body)["ExportDataSource"]["MessageInsightsDataSource"] for body in bodies
        ]

    def answer(self, request: Request) -> Answer | str:
        for beginning, answers in self.odd.items():
            if answers and request.path.startswith(beginning):
                return answers.pop(0)
        if request.path == "/v2/email/outbound-emails":
            return self._take(json.loads(request.body))
        if request.path == JOBS:
            return _json({"JobId": f"job-{len(self.exports())}"})
        if request.path.startswith(JOBS):
            return self._job()
        if request.path.startswith(INSIGHTS):
            return self._insights(request.path.removeprefix(INSIGHTS).strip("/"))
        listed = [{"MessageId": mail.id, "Subject": "Hello"} for mail in self.mails]
        return Answer(200, json.dumps(listed).encode() if self.file is None else self.file)

    def _take(self, sent: dict[str, Any]) -> str:
        """It takes the message and hangs up."""
        if self.keeps:
            tags = {tag["Name"]: tag["Value"] for tag in sent["EmailTags"]}
            to = sent["Destination"]["ToAddresses"][0]
            events = [event("SEND"), event("DELIVERY")]
            self.mails.append(Mail(message_id(len(self.mails)), tags, {to: events}))
        return RESET

    def _job(self) -> Answer:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        job: dict[str, Any] = {"JobId": "job-1", "JobStatus": status}
        if status not in ("CREATED", "PROCESSING"):
            url = self.file_url or f"{self.server.url}{FILE}"
            job["ExportDestination"] = {"DataFormat": "JSON", "S3Url": url}
        return _json(job)

    def _insights(self, id: str) -> Answer:
        found = [mail for mail in self.mails if mail.id == id]
        return _json(found[0].told()) if found else refusal(404, "NotFoundException")


def refusal(status: int, code: str) -> Answer:
    headers = {"x-amzn-ErrorType": code, "Content-Type": "application/json"}
    return Answer(status, b'{"message": "for ada@example.org"}', headers)


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})
