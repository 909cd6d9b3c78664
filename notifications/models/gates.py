"""The books of the gates, where the database keeps them."""

from django.db import models

from ..enums import CircuitState


class RateBucket(models.Model):
    """How far ahead of time a limit is used up (GCRA); only `gates.database` touches it."""

    key = models.CharField(max_length=150, primary_key=True)
    arrival = models.FloatField(
        help_text="Theoretical arrival time: seconds since 1970 by the database's clock."
    )

    def __str__(self) -> str:
        return self.key


class ProviderCircuit(models.Model):
    """The circuit breaker's book of a provider; only `gates.database` touches it.

    Times are in seconds since 1970 by the database's clock.
    """

    provider = models.CharField(max_length=100, primary_key=True)
    state = models.CharField(max_length=9, choices=CircuitState, default=CircuitState.CLOSED)
    since = models.FloatField(default=0.0)
    reason = models.CharField(max_length=20, blank=True)
    until = models.FloatField(default=0.0)
    trips = models.PositiveSmallIntegerField(default=0)
    probe = models.CharField(max_length=32, blank=True)
    window = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.provider}: {self.state}"


class ProviderPace(models.Model):
    """The pacer's book of a provider's account; only `gates.database` touches it.

    Times are in seconds since 1970 by the database's clock.
    """

    provider = models.CharField(max_length=100, primary_key=True)
    until = models.FloatField(default=0.0)
    refused = models.FloatField(default=0.0)
    slowed = models.FloatField(default=0.0)
    adding = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.provider
