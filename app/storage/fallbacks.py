"""Fallbacks: work that goes round a failed server, such as ingest without Redis. It loses nothing, and must not last.

Each process that falls back says so here every few seconds; what nobody has said for a minute is over.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from app.storage.connection import Connection

# Above this, a fallback is reported to operators.
LASTING_SECONDS = 30.0
_HINT = "Run kvitto check, and repair Redis or the broker."
# By reason, where an operator can be advised better.
_HINTS = {"redis-full": "Redis has no room: find out what fills it, or raise its maxmemory."}
_RECORD = """
    INSERT INTO fallbacks AS kept (process, provider, reason) SELECT %s, unnest(%s::text[]), %s
    ON CONFLICT (process, provider) DO UPDATE
    SET reason = excluded.reason, last_at = excluded.last_at,
        since = CASE WHEN excluded.last_at - kept.last_at < interval '1 min' THEN kept.since ELSE excluded.since END
"""
_CURRENT = """
    SELECT process, provider, reason, extract(epoch FROM last_at - since)::double precision AS seconds, since
    FROM reporting.fallbacks
    WHERE clock_timestamp() - last_at < interval '1 min' AND last_at - since >= make_interval(secs => %s)
    ORDER BY process, provider
"""


@dataclass(frozen=True, slots=True)
class Fallback:
    """A process falls back for a provider, for so long."""

    process: str
    provider: str
    reason: str
    seconds: float
    since: datetime | None = None

    @property
    def what(self) -> str:
        """Return what the process does, in words."""
        does = "stored deliveries in Postgres" if self.process == "ingest" else "drained without wake-ups"
        return f"{self.process} has {does} for {self.seconds:.0f} s ({self.reason})"

    @property
    def hint(self) -> str:
        """Return what to do."""
        return _HINTS.get(self.reason, _HINT)

    def __str__(self) -> str:
        return f"{self.provider}: {self.what}. {self.hint}"


def record(connection: Connection, process: str, providers: Collection[str], reason: str) -> None:
    """Record that a process falls back now, for these providers."""
    connection.execute(_RECORD, [process, list(providers), reason])


def current(connection: Connection, at_least_seconds: float = LASTING_SECONDS) -> list[Fallback]:
    """Return the fallbacks that are in use now, and have been for so long."""
    return [Fallback(*row) for row in connection.execute(_CURRENT, [at_least_seconds])]
