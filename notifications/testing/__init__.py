"""For the tests of a project: deliver in the test, look at what went out, let time go by.

    from notifications.testing import assert_notified, deliver_due, outbox, script, travel

Nothing is patched: the pipeline runs as it does in a worker, on the test's database and inside its
transaction, with a `ScriptedProvider` in the place of each provider. No broker is asked, and
nothing is ever sent.
"""

from .asserts import assert_not_notified, assert_notified
from .clock import travel
from .isolation import NotificationsMixin, isolated
from .outbox import Sent, outbox
from .running import deliver_due
from .scripted import ScriptedProvider, script

__all__ = (
    "NotificationsMixin",
    "ScriptedProvider",
    "Sent",
    "assert_not_notified",
    "assert_notified",
    "deliver_due",
    "isolated",
    "outbox",
    "script",
    "travel",
)
