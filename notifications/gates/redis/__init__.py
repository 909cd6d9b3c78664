"""Gates kept in Redis: one script for each question, by Redis' own clock.

OPTIONS:

- `URL`: such as `redis://HOST:6379/0`; `rediss://` for TLS, `unix://` for a socket.
- `PREFIX`: what all keys begin with, as a hash tag: a cluster keeps them on one node.
- `LOCAL_SHARE`: the part of each rate that a process allows itself while Redis is away.
"""

from .breaker import RedisBreaker
from .limiter import RedisLimiter
from .pacer import RedisPacer

Limiter = RedisLimiter
Breaker = RedisBreaker
Pacer = RedisPacer
