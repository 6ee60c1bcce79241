"""The audit after every run of ours: what was answered 200 is in the ledger, once."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.audit.conservation import audit
from app.inbox import client
from app.inbox.stream import Inbox
from app.storage.connection import session
from config.redis_address import RedisAddress
from tests.support.kvitto_process import Running
from tests.support.servers import eventually

_PROCESSED_SECONDS = 600.0


class Books:
    """The accounts of one run, opened before its first post."""

    def __init__(self, kvitto: Running) -> None:
        self._kvitto = kvitto
        self._before = self._audit()

    def close(self, posted: int, accepted: int, new: bool = True) -> str | None:
        """Wait until nothing is in flight; return what was lost or doubled, None if nothing was.

        `posted`: how many, all about applications of their own; `new`: about none that was posted before.
        """
        eventually(lambda: self._audit()["in_flight"] == 0, "nothing in flight", _PROCESSED_SECONDS)
        after = self._audit()
        gained = {name: after[name] - self._before[name] for name in ("receipts", "stored", "duplicate", "dead")}
        return "; ".join(faults(after["missing"], gained, posted, accepted, new)) or None

    def _audit(self) -> dict[str, Any]:
        """Do what `kvitto audit` does."""
        redis = client.connect(RedisAddress.parse(self._kvitto.redis))
        try:
            with session(self._kvitto.database, "audit") as connection:
                return audit(connection, Inbox(redis, "kompar")).row()
        finally:
            redis.close()


def faults(missing: int, gained: Mapping[str, int], posted: int, accepted: int, new: bool) -> Iterator[str]:
    """Yield what was lost or doubled. What was posted and not answered 200 may be in the ledger or not."""
    if missing:
        yield f"the audit reports {missing} missing"
    if gained["receipts"] < accepted:
        yield f"{accepted} answered 200, {gained['receipts']} receipts"
    if gained["receipts"] > posted:
        yield f"{posted} posted, {gained['receipts']} receipts"
    right = gained["stored" if new else "duplicate"]
    if right != gained["receipts"]:
        yield f"of {gained['receipts']} receipts only {right} are {'stored' if new else 'duplicates'}"
