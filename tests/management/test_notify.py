"""The command that sends one: real processes with a database, but for what is refused unread."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.processes import ROOT, Processes

Notify = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def env(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("notify")
    shutil.copy(migrated_file, directory)
    env = {
        "PATH": str(Path(sys.executable).parent),
        "DATABASE_URL": f"sqlite:///{directory}/db.sqlite3",
        "SECRET_KEY": "for-tests-only",
        "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"),
    }
    Processes(directory).manage(env, "create_api_key", "shop", "--create")
    return env


@pytest.fixture(scope="module")
def notify(env: dict[str, str]) -> Notify:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", "notify", *arguments]
        return subprocess.run(
            command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=90
        )

    return run


EMAIL = ("email", "ada@example.com", "--subject", "Hello", "--body", "There")


def test_a_delivered_one_is_told_with_its_timeline(notify: Notify) -> None:
    done = notify(*EMAIL, "--tenant", "shop", "--priority", "urgent")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert lines[0][1] == "email to ada@example.com"
    told = [line[1] for line in lines[1:-1]]
    assert told[0] == "accepted"
    assert told[1].startswith("attempt 1 by simulated, ")
    assert told[1].endswith("ms: accepted")
    assert told[2] == "receipt of simulated: delivered"
    assert lines[-1] == ["delivered"]


def test_one_is_made_of_a_template(env: dict[str, str], notify: Notify, tmp_path: Path) -> None:
    script = (
        "from notifications.pipeline.template_store import put\n"
        "from notifications.models import Tenant\n"
        "from notifications.template_validation import parse_template as parse\n"
        "draft = parse({'channel': 'sms', 'body': 'Hi {{ name }}'})\n"
        "put(Tenant.objects.get(name='shop'), 'hello', draft)"
    )
    Processes(tmp_path).manage(env, "shell", "-c", script)
    sent = ("sms", "+14155550123", "--tenant", "shop", "--template", "hello")
    assert notify(*sent, "--context", '{"name": "Ada"}').returncode == 0
    refused = notify(*sent)
    assert refused.returncode == 1
    assert "context: the template also needs: name" in refused.stderr


def test_a_refused_one_ends_with_1_and_the_reason(notify: Notify) -> None:
    done = notify("sms", "+14155550123", "--body", "Hi", "--metadata", "simulate=reject")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "attempt 1 by simulated" in done.stdout
    assert "permanent" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("failed")


def test_what_nobody_can_know_ends_with_1_and_says_so(notify: Notify) -> None:
    done = notify(*EMAIL, "--metadata", "simulate=drop")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("unknown: an attempt's outcome is not known")


def test_one_that_is_tried_again_ends_with_2_and_why(notify: Notify) -> None:
    done = notify(*EMAIL, "--metadata", "simulate=throttle:6", "--timeout", "4")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "throttled" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("retrying: attempt 1 came to")
    assert "(until " in done.stdout.splitlines()[-1]


def test_the_same_key_sends_nothing_twice(notify: Notify) -> None:
    first, second = (notify(*EMAIL, "--idempotency-key", "order-7") for _ in range(2))
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout
    other = notify(*EMAIL, "--html", "<p>There</p>", "--idempotency-key", "order-7")
    assert other.returncode == 1
    assert "key" in other.stderr


def test_every_mistake_is_told_at_once(notify: Notify) -> None:
    done = notify("email", "nobody", "--payload", "{}")
    assert done.returncode == 1
    for word in ("to: ", "subject: ", "body: ", "payload: "):
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tenant_that_is_not_there_is_told_with_those_that_are(notify: Notify) -> None:
    done = notify(*EMAIL, "--tenant", "shpo")
    assert done.returncode == 1
    assert "There is: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("webhook", "https://example.com/", "--payload", "{"), "not JSON"),
        ((*EMAIL, "--metadata", "simulate"), "KEY=VALUE"),
        (("pigeon", "ada"), "email"),
    ],
)
def test_what_was_mistyped_is_pointed_out(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("notify", *arguments)
