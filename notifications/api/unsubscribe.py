"""The page behind the link to unsubscribe, for people and for their mail programs (RFC 8058).

To look at it changes nothing: scanners follow every link. It takes no cookie, key or token but the
one in its address, so that a mail program can post to it.
"""

from django.http import HttpResponse
from django.template.loader import render_to_string
from rest_framework.request import Request

from ..pipeline import unsubscribe
from ..pipeline.unsubscribe import Link
from .base import View
from .problems import NOT_FOUND, Refused

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}


class UnsubscribeView(View):
    """`GET /unsubscribe/{token}` asks, `POST /unsubscribe/{token}` does."""

    def get(self, request: Request, token: str) -> HttpResponse:
        _target(token)
        return _page(done=False)

    def post(self, request: Request, token: str) -> HttpResponse:
        if not unsubscribe.unsubscribe(_target(token)):
            raise Refused(NOT_FOUND)
        return _page(done=True)


def _target(token: str) -> Link:
    target = unsubscribe.read(token)
    if target is None:
        raise Refused(NOT_FOUND)
    return target


def _page(*, done: bool) -> HttpResponse:
    text = render_to_string("notifications/unsubscribe.html", {"done": done})
    return HttpResponse(text, headers=HEADERS)
