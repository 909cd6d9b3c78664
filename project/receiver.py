"""A receiver of webhooks to try them with: verifies, shows what came, misbehaves on request.

Served below `/receiver/` with DEBUG and WEBHOOK_LOOPBACK alone, to this host alone. What came is
kept in memory, the last hundred.
"""

import hmac
import json
import os
import socket
import time
from base64 import b64decode, b64encode
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.template import engines
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from notifications.models import Endpoint
from notifications.pipeline import endpoints

KEPT = 100
DELAY_MAX = 60.0
TOLERANCE_SECONDS = 300
LOOPBACK = ("127.0.0.1", "::1")

PAGE = """<!doctype html>
<meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Receiver</title>
<style>body {font: 15px/1.5 system-ui, sans-serif; margin: 2rem}
td, th {padding: .3rem 1rem .3rem 0; text-align: left; vertical-align: top}
pre {margin: 0; white-space: pre-wrap}</style>
<h1>What arrived here</h1>
{% if arrivals %}<table>
<tr><th>at</th><th>where</th><th>webhook-id</th><th>time</th><th>signature</th><th>answer</th>
<th>body</th></tr>
{% for each in arrivals %}<tr><td>{{ each.at|date:"H:i:s" }}</td><td>{{ each.where }}</td>
<td>{{ each.id }}</td><td>{{ each.nth }}</td>
<td>{% if each.is_verified %}verified{% else %}NOT VERIFIED{% endif %}</td>
<td>{{ each.status }}</td><td><pre>{{ each.body }}</pre></td></tr>{% endfor %}
</table>{% else %}<p>Nothing yet. Send a webhook to {{ example }}.</p>{% endif %}
"""


@dataclass(frozen=True)
class Arrival:
    """A request that came in; `nth` counts those with its id."""

    where: str
    id: str
    nth: int
    is_verified: bool
    status: int
    body: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


arrivals: deque[Arrival] = deque(maxlen=KEPT)
_times: Counter[str] = Counter()


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """What has arrived, the newest first."""
    if request.META["REMOTE_ADDR"] not in LOOPBACK:
        return HttpResponseForbidden()
    example = request.build_absolute_uri("hook")
    template = engines["django"].from_string(PAGE)
    return HttpResponse(template.render({"arrivals": list(arrivals)[::-1], "example": example}))


@csrf_exempt
@require_POST
def receive(request: HttpRequest, name: str) -> HttpResponse:
    """Answer as the query says: `status`, `retry_after`, and `delay` in seconds before it.

    With `drop` it hangs up instead, with `hang` it first says nothing for a minute.
    """
    if request.META["REMOTE_ADDR"] not in LOOPBACK:
        return HttpResponseForbidden()
    status = int(_number(request, "status", 200))
    id = request.headers.get("webhook-id", "")
    _times[id] += 1
    verified = any(_is_signed(request, secret) for secret in _secrets(request))
    arrivals.append(
        Arrival(request.get_full_path(), id, _times[id], verified, status, _pretty(request.body))
    )
    hangs = "hang" in request.GET
    time.sleep(DELAY_MAX if hangs else min(_number(request, "delay", 0), DELAY_MAX))
    if hangs or "drop" in request.GET:
        _hang_up(request)
    response = HttpResponse(status=status if 200 <= status <= 599 else 400)
    if "retry_after" in request.GET:
        response["Retry-After"] = f"{_number(request, 'retry_after', 0):.0f}"
    return response


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raise ValueError unless `body` was signed with `secret` just now."""
    id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if abs(time.time() - int(sent_at)) > TOLERANCE_SECONDS:
        raise ValueError("too old, or from the future")
    key = b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id}.{sent_at}.".encode() + body, "sha256")
    expected = f"v1,{b64encode(digest).decode()}"
    signatures = headers.get("webhook-signature", "").split(" ")
    if not any(hmac.compare_digest(expected.encode(), each.encode()) for each in signatures):
        raise ValueError("not signed with this secret")


def _is_signed(request: HttpRequest, secret: str) -> bool:
    try:
        verify(secret, request.headers, request.body)
    except ValueError:
        return False
    return True


def _secrets(request: HttpRequest) -> Iterator[str]:
    """Those of whoever has registered this URL, and of everybody's default endpoint."""
    here = Q(url=request.build_absolute_uri()) | Q(url="")
    found: Iterable[Endpoint] = Endpoint.objects.filter(here)
    for endpoint in found:
        yield from endpoints.live_secrets(endpoint)


def _pretty(body: bytes) -> str:
    try:
        found: Any = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return json.dumps(found, indent=2, ensure_ascii=False)


def _number(request: HttpRequest, name: str, default: float) -> float:
    text = request.GET.get(name, "")
    return float(text) if text.isascii() and text.isdigit() else default


def _hang_up(request: HttpRequest) -> None:
    """Cut the connection without an answer: WSGI has no way to, so its socket is looked for."""
    client = (request.META["REMOTE_ADDR"], int(request.META.get("REMOTE_PORT") or 0))
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # no socket, or none that is connected
            found = socket.socket(fileno=int(name))
            try:
                if found.getpeername()[:2] == client:
                    found.shutdown(socket.SHUT_RDWR)
            finally:
                found.detach()


urlpatterns = [
    path("", show, name="receiver"),
    path("<path:name>", receive),
]
