"""Lists the receipts that wait in an inbox."""

from uuid import UUID

from redis import Redis

from app.inbox import lua
from app.inbox.client import translate_errors


def receipts(redis: Redis, provider: str) -> set[UUID]:
    """Return the receipts of all waiting entries. Entries appended meanwhile may be included or not."""
    waiting: set[UUID] = set()
    start = "-"
    while True:
        with translate_errors():
            reply = redis.eval_ro(lua.RECEIPTS, 1, f"inbox:{provider}", start)
        if not reply:
            return waiting
        waiting |= {UUID(bytes=receipt) for receipt in reply[1::2] if len(receipt) == 16}
        start = f"({reply[-2].decode()}"
