"""One round of what every worker does beside its tasks: dispatch, rescue, and the rest."""

import logging
import time
from collections.abc import Sequence

from django.db import DatabaseError
from django.db.models.functions import Now

from ..conf import get_settings
from ..exceptions import BrokerUnavailable
from ..models import Worker
from . import digests, jobs, uploads
from .adopt import adopt_missed
from .dispatch import dispatch_round
from .reconcile import reconcile
from .rescue import expire, rescue

logger = logging.getLogger(__name__)

SHOW_SECONDS = 15.0
RESCUE_SECONDS = 5.0
RECONCILE_SECONDS = 60.0
BUSY_SECONDS = 0.25
"""How soon the next round follows one that left something for it."""


def tick(worker: str, queues: Sequence[str] = ()) -> float:
    """One round for `worker`, which reads `queues`; the seconds until the next is wanted.

    Raises what the database raises when it is away; a broker that is away only ends the round.
    """
    if _is_time("show", SHOW_SECONDS):
        show(worker, queues)
    if _is_time("rescue", RESCUE_SECONDS):
        rescue()
        expire()
        adopt_missed()
        jobs.resume()
        uploads.resume()
    if _is_time("reconcile", RECONCILE_SECONDS):
        reconcile()
    are_more_due = _close_digests()
    try:
        done = dispatch_round()
    except BrokerUnavailable as error:
        logger.warning("the broker is away (%s); what is due stays due", error)
        return get_settings().dispatch_seconds * 5
    return BUSY_SECONDS if done.is_more or are_more_due else get_settings().dispatch_seconds


def show(worker: str, queues: Sequence[str] = ()) -> None:
    """Let it be known that `worker` lives, and what it reads."""
    seen = {"seen_at": Now(), "queues": list(queues)}
    Worker.objects.update_or_create(name=worker[:255], defaults=seen)


def _close_digests() -> bool:
    """Whether more digests are due; what is wrong with one must not keep the rest from moving."""
    try:
        return digests.close_due()
    except DatabaseError:
        raise
    except Exception as error:
        logger.error("digests could not be closed: %s", type(error).__name__)
        return False


def _is_time(name: str, seconds: float) -> bool:
    """Whether `seconds` have gone by since it was last time for `name` in this process."""
    now = time.monotonic()
    if now < _next.get(name, 0.0):
        return False
    _next[name] = now + seconds
    return True


_next: dict[str, float] = {}
