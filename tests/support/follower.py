"""A consumer that applies each change of a provider's feed to what it knows."""

from typing import Any
from uuid import UUID

from app.storage import feed
from app.storage.connection import Connection

Revisions = dict[UUID, tuple[Any, ...]]


class Follower:
    """Reads on behind the newest position that it saw; knows of each event what the feed said last."""

    def __init__(self, connection: Connection, provider: str) -> None:
        self._connection, self._provider = connection, provider
        self.position = 0
        self._events: Revisions = {}

    def follow(self) -> Revisions:
        """Read what is new; return the revisions: entity, number, content and flags by receipt."""
        for row in feed.read(self._connection, self._provider, self.position, 1000):
            assert row["position"] > self.position
            self.position = row["position"]
            self._events[row["receipt"]] = tuple(row[name] for name in ("entity_id", "revision", "content", "flags"))
        return {receipt: event for receipt, event in self._events.items() if event[1] is not None}


def revisions(connection: Connection, provider: str) -> Revisions:
    """Return what the ledger has, in the same form."""
    query = "SELECT receipt, entity_id, revision, content, flags FROM reporting.events WHERE provider = %s"
    return {row.receipt: tuple(row[1:]) for row in connection.execute(query, [provider])}
