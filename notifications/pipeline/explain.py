"""Why a notification has not gone yet, in words."""

from dataclasses import dataclass
from datetime import datetime

from ..enums import Scope, State, WaitReason
from ..lifecycle import WAITING
from ..models import Notification
from . import policy, route


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is being waited for: `scope` names it, `until` is when it is looked at again."""

    reason: WaitReason
    scope: str
    until: datetime | None
    detail: str

    def as_dict(self) -> dict[str, object]:
        return {
            "reason": self.reason.value,
            "scope": self.scope,
            "until": self.until,
            "detail": self.detail,
        }


def waiting(notification: Notification) -> Waiting | None:
    """What `notification` waits for; None when it is on its way or has arrived at its end."""
    if notification.state == State.UNKNOWN:
        return Waiting(
            WaitReason.RECONCILE,
            _scope(Scope.PROVIDER, notification.provider),
            None,
            "an attempt's outcome is not known: a receipt may tell, or retry it by hand",
        )
    if notification.state == State.IN_DIGEST and notification.digest:
        digest = notification.digest
        detail = "it is gathered with others of its digest, which closes then"
        return Waiting(WaitReason.DIGEST, f"digest:{digest.key}", digest.closes_at, detail)
    if notification.state not in WAITING:
        return None
    return _paused(notification) or _put_off(notification)


def _paused(notification: Notification) -> Waiting | None:
    snapshot, tenant = policy.current(), notification.tenant.name
    scopes = [
        snapshot.pause_on(notification.channel, provider, tenant, notification.template_version_id)
        for provider in route.candidates(notification)
    ]
    scope = scopes[0]
    if scope is None or not all(scopes):
        return None
    return Waiting(WaitReason.PAUSED, scope, None, f"{scope.replace(':', ' ')} is paused")


def _put_off(notification: Notification) -> Waiting:
    channel = _scope(Scope.CHANNEL, notification.channel)
    if notification.state == State.SCHEDULED:
        return Waiting(WaitReason.SCHEDULED, channel, notification.due_at, "its send_at is later")
    if notification.wait_reason == WaitReason.RATE_LIMIT:
        scope = notification.wait_scope
        detail = f"the limit {scope} is used up"
        return Waiting(WaitReason.RATE_LIMIT, scope, notification.due_at, detail)
    if notification.wait_reason == WaitReason.QUIET_HOURS:
        detail = "its recipient has quiet hours until then"
        return Waiting(WaitReason.QUIET_HOURS, "", notification.due_at, detail)
    if notification.wait_reason == WaitReason.CIRCUIT_OPEN:
        scope = notification.wait_scope
        detail = f"the circuit of {scope.replace(':', ' ')} is open because it fails; asked again"
        return Waiting(WaitReason.CIRCUIT_OPEN, scope, notification.due_at, detail)
    if route.is_pointed(notification):
        scope = notification.wait_scope
        detail = f"{notification.provider} has refused it; {scope.replace(':', ' ')} is asked next"
        return Waiting(WaitReason.QUEUE, scope, notification.due_at, detail)
    if notification.state == State.RETRY_WAIT:
        scope = _scope(Scope.PROVIDER, notification.provider)
        number = notification.attempt_count
        detail = f"attempt {number} came to {notification.error_code or 'nothing'}; the next is due"
        return Waiting(WaitReason.BACKOFF, scope, notification.due_at, detail)
    return Waiting(WaitReason.QUEUE, channel, None, "it is due and waits for a worker")


def _scope(scope: Scope, name: str) -> str:
    return f"{scope.value}:{name}"
