"""Without its database the API says so within three seconds, and says when to come back."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing

import pytest

SCRIPT = """
    import json, time, django
    django.setup()
    from django.test import Client
    from notifications.api_keys import make_key
    started = time.monotonic()
    response = Client().post(
        "/notify",
        {"channel": "email", "to": "ada@example.com", "subject": "s", "body": "b"},
        "application/json",
        headers={"Authorization": f"Bearer {make_key().token}", "Host": "localhost"},
    )
    print(json.dumps({
        "status": response.status_code,
        "code": response.json()["code"],
        "retry_after": response.headers.get("Retry-After"),
        "seconds": time.monotonic() - started,
    }))
"""


@pytest.fixture(params=["closed", "silent"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Where nobody listens, or where somebody does who never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        number = server.getsockname()[1]
        if request.param == "closed":
            server.close()
        yield number


def test_without_a_database_there_is_a_503_within_three_seconds(port: int) -> None:
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DATABASE_URL": f"postgres://nobody:secret@127.0.0.1:{port}/nothing",
        "SECRET_KEY": "for-tests-only",
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["code"]) == (503, "database_unavailable")
    assert int(answer["retry_after"]) > 0
    assert answer["seconds"] < 5  # three, and two for a machine that is busy with other things
    assert "secret" not in done.stdout + done.stderr
