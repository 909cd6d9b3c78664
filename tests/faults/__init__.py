"""The production shape with real processes that are killed, frozen and starved.

Each scenario starts servers, workers and a provider of its own, hurts one of them, waits, and is
judged by what outsiders can see: the ids that clients were answered, the provider's own log, and
the rows. `make faults` runs them all at full size, `make test` some of them at a small one.
"""
