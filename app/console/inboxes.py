"""Asks Redis itself what waits in the inboxes: what the last sweep saw says nothing while no worker sweeps."""

from app.inbox import client
from app.inbox.results import Backlog
from app.inbox.stream import Inbox
from config.settings import ConsoleSettings

# A scrape of Prometheus must also have time for the ledger.
_SECONDS = 1.0


class InboxReader:
    """Reads the inboxes of all providers, on connections that are opened at the first use."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._redis = client.connect(settings.redis, _SECONDS)
        self._inboxes = [Inbox(self._redis, provider) for provider in settings.providers]

    def backlogs(self) -> dict[str, Backlog]:
        """Return what waits, by provider; raises StoreUnavailableError."""
        return {inbox.provider: inbox.backlog() for inbox in self._inboxes}

    def memory(self) -> tuple[int | None, float]:
        """Return the bytes that Redis uses, None if it hides them, and its limit; raises StoreUnavailableError."""
        return client.memory(self._redis)
