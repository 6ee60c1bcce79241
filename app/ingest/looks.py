"""What the edge looks for in its stores: can a delivery be kept durably, and is there room?"""

from collections.abc import Sequence

from redis import Redis

from app.errors import Unavailable
from app.inbox import Inbox, server
from app.storage.connection import durability_faults, refuse_read_only
from app.storage.pool import Pool
from config.environment import Fault

# Redis refuses at its limit, and wake-ups with it; deliveries turn off the road some way before that cliff.
_FULL_SHARE = 0.8


def look_at_redis(redis: Redis, inboxes: Sequence[Inbox], loss_accepted: bool) -> bool:
    """Tell whether Redis has room; raises Unavailable unless its reply proves that a write is on disk."""
    _refuse("redis-not-durable", [] if loss_accepted else server.durability_faults(redis))
    for inbox in inboxes:
        inbox.open()  # while there is room: on a full server workers could not, and nothing would drain
    return server.used_share(redis) < _FULL_SHARE


def look_at_postgres(pool: Pool, loss_accepted: bool) -> bool:
    """Return true; raises Unavailable unless a commit in Postgres proves that it is on disk."""
    pool.run(refuse_read_only)
    faults = pool.run(durability_faults)
    _refuse("postgres-not-durable", [] if loss_accepted else faults)
    return True


def _refuse(reason: str, faults: Sequence[Fault]) -> None:
    if faults:
        raise Unavailable(reason, "; ".join(fault.name for fault in faults))
