"""What `make lint` says of known vulnerabilities: by pip-audit itself, and an advisory service."""

import json
from pathlib import Path

import pytest

from ops import audit
from tests.providers.http_server import Answer, Request, Server

ADVISORY = {
    "id": "GHSA-0000-0000-0000",
    "summary": "bad",
    "details": "very bad",
    "published": "2020-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "spam"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]},
            ],
        }
    ],
}


def advise(request: Request) -> Answer:
    name = json.loads(request.body)["package"]["name"]
    return Answer(200, json.dumps({"vulns": [ADVISORY]} if name == "spam" else {}).encode())


def audited(directory: Path, text: str, url: str) -> int:
    file = directory / "requirements.txt"
    file.write_text(text)
    return audit.main([str(file)], ["--vulnerability-service", "osv", "--osv-url", url])


def test_a_vulnerability_is_a_failure_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server(advise) as server:
        assert audited(tmp_path, "eggs==1.0\nspam==1.0\n", server.url) == 1
    out, err = capsys.readouterr()
    assert "VULNERABLE: spam 1.0: GHSA-0000-0000-0000, fixed in 2.0" in out
    assert "eggs" not in out + err


def test_what_has_none_is_passed_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server(advise) as server:
        assert audited(tmp_path, "eggs==1.0\n", server.url) == 0
    assert "NOT AUDITED" not in capsys.readouterr().err


def test_without_an_answer_it_passes_and_says_so_loudly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(tmp_path, "spam==1.0\n", "http://127.0.0.1:1") == 0
    assert "NOT AUDITED" in capsys.readouterr().err


def test_what_the_service_does_not_know_is_not_called_sound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = {"name": "spam", "version": "1.0", "skip_reason": "not found"}
    answer = json.dumps({"dependencies": [unknown]})
    monkeypatch.setattr(audit, "ask", lambda *_: answer)
    assert audit.main() == 0
    assert "NOT AUDITED for known vulnerabilities: 1 of 1" in capsys.readouterr().err
