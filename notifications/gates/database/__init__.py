"""Gates kept in the database: no server more than there is."""

from .breaker import DatabaseBreaker
from .limiter import DatabaseLimiter
from .pacer import DatabasePacer

Limiter = DatabaseLimiter
Breaker = DatabaseBreaker
Pacer = DatabasePacer
