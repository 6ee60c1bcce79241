"""Asks Redis itself what waits in the inboxes: what the last sweep saw says nothing while no worker sweeps."""

from collections.abc import Collection

from app.inbox import client
from app.inbox.results import Backlog
from app.inbox.stream import Inbox
from config.redis_address import RedisAddress

# A scrape of Prometheus must also have time for the ledger.
_SECONDS = 1.0


class InboxReader:
    """Reads the inboxes of these providers, on connections that are opened at the first use. Writes nothing."""

    def __init__(self, address: RedisAddress, providers: Collection[str]) -> None:
        self._redis = client.connect(address, _SECONDS)
        self._inboxes = [Inbox(self._redis, provider) for provider in providers]

    def backlogs(self) -> dict[str, Backlog]:
        """Return what waits, by provider; raises StoreUnavailableError."""
        return {inbox.provider: inbox.backlog() for inbox in self._inboxes}

    def memory(self) -> tuple[int | None, float]:
        """Return the bytes that Redis uses, None if it hides them, and its limit; raises StoreUnavailableError."""
        return client.memory(self._redis)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
