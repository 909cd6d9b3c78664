"""The guides, followed to the letter: what they say is written down as files, and works."""

import hmac
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.test import Client

from notifications.enums import Status
from notifications.providers.registry import forget_providers
from tests.pipeline.factories import attempt, fresh, sms
from tests.processes import ROOT
from tests.providers.http_server import Answer, Request, Server

GUIDE = ROOT / "docs" / "how-to" / "add-a-provider.md"
FILE = re.compile(r"^`([\w/]+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the files of the guide."""
    found = dict(FILE.findall(GUIDE.read_text()))
    assert set(found) == {
        "pigeons/provider.py",
        "pigeons/receipts.py",
        "settings.py",
        "test_pigeons.py",
    }
    for name, text in found.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_provider_of_the_guide_passes_the_suite(project: Path) -> None:
    command = [sys.executable, "-m", "pytest", f"{project}/test_pigeons.py", "-q"]
    command += ["-c", f"{ROOT}/pyproject.toml", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTHONPATH": str(project), "TEST_DB": "sqlite"}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert re.search(r"^\d\d passed", done.stdout, re.MULTILINE), done.stdout
    assert "skipped" not in done.stdout


class PigeonPost:
    """Takes every message."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []

    def answer(self, request: Request) -> Answer:
        assert request.headers["Authorization"] == "Bearer coo"
        self.sent.append(json.loads(request.body))
        return Answer(202, b'{"id": "pigeon-7"}')


@pytest.fixture
def post(
    project: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PigeonPost]:
    """The settings of the guide, but for the address."""
    monkeypatch.syspath_prepend(str(project))
    found: dict[str, Any] = {}
    exec((project / "settings.py").read_text(), found)
    post = PigeonPost()
    with Server(post.answer) as server:
        found["NOTIFICATIONS"]["PROVIDERS"]["pigeons"]["OPTIONS"]["URL"] = server.url
        settings.NOTIFICATIONS = found["NOTIFICATIONS"]
        yield post
    forget_providers()
    for name in [name for name in sys.modules if name.split(".")[0] == "pigeons"]:
        del sys.modules[name]


@pytest.mark.django_db(transaction=True)
def test_it_sends_and_reads_receipts_as_the_guide_sets_it_up(
    post: PigeonPost, client: Client
) -> None:
    assert [found for found in run_checks() if found.id.startswith("notifications.E")] == []
    row = sms("")
    attempt(row)
    assert post.sent == [{"to": row.to, "text": "Hello", "reference": str(row.pk)}]
    assert (fresh(row).status, fresh(row).provider_message_id) == (Status.SENT, "pigeon-7")
    event = {"id": "e1", "state": "landed", "reference": str(row.pk)}
    body = json.dumps({"events": [event]}).encode()
    for secret, status in (("another", 403), ("between-us", 200)):
        signature = hmac.digest(secret.encode(), body, "sha256").hex()
        answer = client.generic(
            "POST", "/receipts/pigeons", body, headers={"X-Pigeon-Signature": signature}
        )
        assert answer.status_code == status
    assert fresh(row).status == Status.DELIVERED


def test_what_is_missing_is_named_by_the_check(post: PigeonPost, settings: LazySettings) -> None:
    del settings.NOTIFICATIONS["PROVIDERS"]["pigeons"]["OPTIONS"]["TOKEN"]
    [problem] = [found.msg for found in run_checks() if found.id == "notifications.E004"]
    assert '"TOKEN" is missing.' in problem
