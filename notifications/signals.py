"""What happens, told to whoever listens: metrics, logs, and the project's own code.

Each signal is sent after the commit that made it true, by the process that made it. Receivers
are called through `send_robust`: one that raises is logged and harms nothing.
"""

from django.dispatch import Signal

notification_accepted = Signal()
"""`notifications`: the rows just stored; `counts`: how many, by channel and priority.

Who only counts is faster with `counts`: the models are made when `notifications` is looked at.
`stored` is in between: id, tenant, channel and priority of each.
"""

attempt_finished = Signal()
"""`notification`, `attempt`, `seconds`: a delivery attempt ended; so long the provider took."""

attempts_finished = Signal()
"""`provider`, `notifications`, `outcomes`: its attempts that ended in one commit, an outcome each.

For those whom each of a thousand a second would cost too much. The number of an attempt is the
notification's `attempt_count`.
"""

notification_settled = Signal()
"""`notification_id`, `channel`, `status`: it came to a status it stays in."""

notifications_settled = Signal()
"""`settled`: those that settled in one commit, a tuple of the above for each."""

receipt_received = Signal()
"""`notification_id`, `provider`, `kind`, `code`, `applied`: what a provider told of a message.

`code` says why, such as `bounce` or `complaint`; the same event may be told several times.
"""

receipts_received = Signal()
"""`received`: those that came in one commit, a tuple of the above for each."""

receipt_dismissed = Signal()
"""`provider`, `kind`, `result`: a provider's call that moved nothing.

`refused` was not authentic, `ignored` says nothing that counts, `orphaned` belongs to no
notification that is known by now: it is kept for a week in case that changes.
"""

rows_claimed = Signal()
"""`channel`, `notifications`: a task holds them from now on, under a lease."""

rows_snoozed = Signal()
"""`channel`, `reason`, `scope`, `count`: rows were put off, free of charge."""

rows_rescued = Signal()
"""`reason`, `count`: rows that a lost worker had held were taken back."""

writes_fenced = Signal()
"""`count`, `provider`: outcomes of it that came too late to be written."""

limiter_degraded = Signal()
"""`reason`: what keeps the gates' books is away, so a local share of each limit applies.

Sent when it is found away, and whenever it is asked again in vain.
"""

circuit_changed = Signal()
"""`provider`, `state`, `reason`: its circuit opened, lets a probe through, or closed again."""

provider_slowed = Signal()
"""`provider`, `pace`: it refused us for being too fast, so its account waits and goes slower."""

consumer_restarted = Signal()
"""Nothing more: a worker heard nothing although messages waited, and took a new connection."""
