"""A client of the API that remembers what it was answered."""

import time

import requests

BODY = {"channel": "sms", "to": "+14155550123", "body": "Hello"}


class Client:
    """Posts text messages and keeps every id that was answered, and how long each answer took."""

    def __init__(self, base: str, key: str) -> None:
        self.base = base
        self.headers = {"Authorization": f"Bearer {key}"}
        self.accepted: list[str] = []
        self.seconds: list[float] = []

    def post(self, key: str | None = None, timeout: float = 10) -> requests.Response:
        body = BODY | ({"idempotency_key": key} if key else {})
        started = time.monotonic()
        answer = self._post("notify", body, timeout)
        self.seconds.append(time.monotonic() - started)
        if answer.status_code in (200, 202):
            self.accepted.append(answer.json()["id"])
        return answer

    def cancel(self, id: str) -> int:
        """The status of the answer."""
        return self._post(f"notifications/{id}/cancel", {}, 10).status_code

    def post_until_answered(self, key: str) -> None:
        """As a client should: the same key again until there is a good answer."""
        for _ in range(600):
            try:
                if self.post(key).status_code in (200, 202):
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        raise AssertionError("never answered")

    def _post(self, path: str, body: dict[str, str], timeout: float) -> requests.Response:
        return requests.post(
            f"{self.base}/{path}", json=body, headers=self.headers, timeout=timeout
        )
