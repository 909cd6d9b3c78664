"""How the ids of rows are made."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A UUIDv7: unique without the database, sorted by the time of its making."""
    return uuid7()
