"""The embedded mode under load: one process, one SQLite file, one writer at a time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.processes import Processes, wait_until

BODY = {"channel": "sms", "to": "+14155550123", "body": "Hello"}


@pytest.mark.timeout(120)
def test_the_database_is_never_too_locked_to_answer(
    processes: Processes, embedded_env: dict[str, str]
) -> None:
    key = processes.manage(embedded_env, "create_api_key", "shop", "--create").split()[0]
    process, base = processes.serve(embedded_env)
    headers = {"Authorization": f"Bearer {key}"}

    def post(number: int) -> int:
        if number % 50 == 0:
            batch: dict[str, Any] = {"notifications": [BODY] * 200}
            path, body = "notify/batch", batch
        else:
            path, body = "notify", BODY
        return requests.post(f"{base}/{path}", json=body, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(6) as pool:
        codes = set(pool.map(post, range(300)))
    assert codes == {202}

    def statuses() -> bool:
        answer = requests.get(f"{base}/notifications?status=queued", headers=headers, timeout=30)
        return answer.json()["results"] == []

    wait_until(statuses, timeout=60, what="all delivered", every=0.5)
    assert "locked" not in process.text()
    assert "Traceback" not in process.text()
