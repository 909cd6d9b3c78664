"""`POST /receipts/{provider}`: what providers report, signed by themselves; no key of a tenant."""

import logging

from django.core.exceptions import ImproperlyConfigured
from rest_framework.request import Request
from rest_framework.response import Response

from ..conf import get_settings
from ..enums import ReceiptState
from ..exceptions import NotAuthentic, NotJudged, NotReceipts
from ..messages import ReceiptRequest, ReportedReceipt
from ..models import Receipt
from ..pipeline.receive import receive
from ..providers.base import Provider
from ..providers.registry import get_provider
from ..signals import receipt_dismissed
from .base import View
from .parsers import read_body
from .problems import NOT_FOUND, Problem, Refused

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60

MAX_BYTES = 1024 * 1024
"""Providers gather events: SendGrid posts up to 768 KB of them at once (2026-11)."""

NOT_AUTHENTIC = Problem(403, "not_authentic", "This is not signed by the provider.")
NOT_JUDGED = Problem(
    503,
    "not_judged",
    "Whether this is authentic cannot be told now; send it again.",
    headers={"Retry-After": str(RETRY_SECONDS)},
)


class ReceiptsView(View):
    """Read and judged before the database is touched: strangers cost it nothing."""

    def post(self, request: Request, provider: str) -> Response:
        reported = _reported(_provider(provider), request)
        receive(provider, reported)
        return Response({"received": len(reported)})


def _provider(name: str) -> Provider:
    if name not in get_settings().providers:
        raise Refused(NOT_FOUND)
    try:
        return get_provider(name)
    except (ImportError, ImproperlyConfigured) as error:
        # `manage.py check` says what is wrong; a stranger who asks need not know.
        logger.error("no receipts of %s: it cannot be used here", name)
        raise Refused(NOT_FOUND) from error


def _reported(provider: Provider, request: Request) -> list[ReportedReceipt]:
    try:
        return provider.read_receipts(_call(request))
    except NotReceipts as error:
        raise Refused(NOT_FOUND) from error
    except NotAuthentic as error:
        receipt_dismissed.send_robust(
            sender=Receipt, provider=provider.name, kind=ReceiptState.NONE, result="refused"
        )
        raise Refused(NOT_AUTHENTIC) from error
    except NotJudged as error:
        raise Refused(NOT_JUDGED) from error


def _call(request: Request) -> ReceiptRequest:
    """The call as its sender made it: the address is the one we are known by, not a header's."""
    base = get_settings().public_url
    return ReceiptRequest(
        method=request.method or "",
        url=f"{base}{request.get_full_path()}" if base else "",
        headers={name.lower(): value for name, value in request.headers.items()},
        body=read_body(request._request, MAX_BYTES),
    )
