"""The key under which a request happens once, and the fingerprint of what was asked."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .channels import CHANNELS
from .messages import Draft

KEY_MAX = 255
VISIBLE_ASCII = re.compile(f"[!-~]{{1,{KEY_MAX}}}")

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def parse_key(text: str) -> str:
    """The key in `abc` or `"abc"`: 1 to 255 visible ASCII characters; raises ValueError."""
    quoted = len(text) >= 2 and text[0] == text[-1] == '"'
    key = text[1:-1] if quoted else text
    if not VISIBLE_ASCII.fullmatch(key):
        raise ValueError(f"write 1 to {KEY_MAX} visible ASCII characters")
    return key


def fingerprint(draft: Draft) -> str:
    """A digest of everything in `draft` but its key: equal for requests that ask the same.

    Of a template it takes the name and the context as given: a new version of the template makes
    no other request of a repeated one.
    """
    given: dict[str, Any] = {"category": draft.category} if _has_own_category(draft) else {}
    if draft.digest is not None:
        given["digest"] = asdict(draft.digest)
    return digest(
        {
            **given,
            "channel": draft.channel.value,
            "to": draft.to,
            "content": _content(draft),
            "priority": int(draft.priority),
            "send_at": draft.send_at and draft.send_at.isoformat(),
            "expires_at": draft.expires_at and draft.expires_at.isoformat(),
            "metadata": draft.metadata,
        }
    )


def _has_own_category(draft: Draft) -> bool:
    return bool(draft.category) and draft.template is None


def _content(draft: Draft) -> Mapping[str, Any]:
    if draft.template is None:
        return draft.content
    extras = CHANNELS[draft.channel].extras
    own = {name: value for name, value in draft.content.items() if name in extras}
    return {**own, "template": draft.template, "context": draft.context}


def digest(value: Mapping[str, Any] | list[Any]) -> str:
    """SHA-256 over canonical JSON: sorted keys, parsed values rather than raw bytes."""
    return hashlib.sha256(_canonical(value).encode("ascii")).hexdigest()
