"""What operators switch while it runs: pauses and limits. Who did it, and why, the caller logs."""

from ..enums import Channel, Scope
from ..models import Pause, RateLimit
from . import database, policy


def pause(scope: Scope, subject: str, reason: str) -> Pause:
    """Send nothing more of `subject`; what is with a provider already is finished."""
    made, _ = Pause.objects.update_or_create(
        scope=scope, subject=subject, defaults={"reason": reason}
    )
    _now_in_force()
    return made


def resume(scope: Scope, subject: str) -> bool:
    """End a pause; whether there was one."""
    gone, _ = Pause.objects.filter(scope=scope, subject=subject).delete()
    _now_in_force()
    return bool(gone)


def drain(reason: str) -> list[Pause]:
    """Pause every channel that is not paused; what is in flight then comes to its end."""
    held = set(Pause.objects.filter(scope=Scope.CHANNEL).values_list("subject", flat=True))
    return [pause(Scope.CHANNEL, c.value, reason) for c in Channel if c.value not in held]


def limit(scope: Scope, subject: str, rates: str) -> RateLimit:
    """Let `rates` hold instead of what the settings say."""
    made, _ = RateLimit.objects.update_or_create(
        scope=scope, subject=subject, defaults={"rates": rates}
    )
    _now_in_force()
    return made


def unlimit(scope: Scope, subject: str) -> bool:
    """Let what the settings say hold again; whether anything else did."""
    gone, _ = RateLimit.objects.filter(scope=scope, subject=subject).delete()
    _now_in_force()
    return bool(gone)


def _now_in_force() -> None:
    """Here with the commit; other processes follow within a second."""
    database.on_commit(policy.forget)
