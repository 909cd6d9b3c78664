"""`POST /notify?dry_run=true`: how a rehearsal is asked for, and shown."""

from typing import Any

from rest_framework.request import Request
from rest_framework.reverse import reverse

from ..channels import CHANNELS
from ..enums import Channel
from ..pipeline.rehearse import Rehearsal, Verdict
from ..rendering import Part
from ..segments import count_segments
from ..times import rfc3339
from .query import Parameters
from .representation import waiting_of

STATUS_OF = {Verdict.ACCEPTED: 202, Verdict.REPLAYED: 200, Verdict.CONFLICT: 422}
"""What the request would be answered with."""


def read_flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


PARAMETERS: Parameters = {"dry_run": read_flag}


def represent_rehearsal(found: Rehearsal, request: Request) -> dict[str, Any]:
    draft = found.draft
    return {
        "dry_run": True,
        "outcome": found.verdict.value,
        "answer": STATUS_OF[found.verdict],
        "stored": found.stored and _stored(found, request),
        "status": found.status and found.status.value,
        "channel": draft.channel.value,
        "to": draft.to,
        "template": draft.template,
        "priority": draft.priority.label,
        "send_at": rfc3339(draft.send_at),
        "expires_at": rfc3339(draft.expires_at),
        "content": dict(draft.content),
        **_segments(draft.channel, found),
        "metadata": dict(draft.metadata),
        "suppression": found.suppression
        and {"code": found.suppression.code, "detail": found.suppression.detail},
        "providers": [
            {"name": stop.name, "weight": stop.weight, "waiting": waiting_of(stop.waiting)}
            for stop in found.stops
        ],
        "limits": [
            {"scope": limit.scope, "per_second": limit.rate, "available": limit.available}
            for limit in found.limits
        ],
        "waiting": waiting_of(found.waiting),
        "earliest_send_at": rfc3339(found.earliest_at),
        "warning": found.warning or None,
    }


def _stored(found: Rehearsal, request: Request) -> dict[str, str]:
    id = str(found.stored)
    return {"id": id, "url": reverse("notifications:notification", (id,), request=request)}


def _segments(channel: Channel, found: Rehearsal) -> dict[str, Any]:
    parts = CHANNELS[channel].parts
    content = found.draft.content
    texts = [content[name] for name, part in parts.items() if part is Part.SMS and name in content]
    counted = count_segments(texts[0]) if texts else None
    return {
        "segments": counted.count if counted else None,
        "encoding": counted.encoding if counted else None,
    }
