"""The operators' overview: the state of every provider, and a sentence for every problem."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from app.audit import problems
from app.domain.durations import in_words
from app.errors import StoreUnavailableError
from app.storage import reports
from app.storage.connection import Connection

_CONSUMER_COLUMNS = ("consumer", "provider", "position", "positions_behind", "behind_seconds", "read_at")


def read(connection: Connection, ask: Callable[[], problems.Backlogs]) -> dict[str, Any]:
    """Return what the page shows: its problems, none if all is well, and the rows of its tables.

    `ask` returns what waits in each inbox, or raises StoreUnavailableError.
    """
    counts = {row["provider"]: row for row in reports.delivery_counts(connection)}
    consumers = reports.feed_consumers(connection)
    freshness = {row["provider"]: row for row in reports.freshness(connection)}
    suspected = {row["provider"]: row["suspected"] for row in reports.suspected_counts(connection)}
    ask = cache(ask)
    waiting = _waiting(connection, ask)
    providers = [
        _provider(name, counts.get(name, {}), freshness.get(name), waiting.get(name), suspected.get(name, 0))
        for name in sorted(counts | freshness)
    ]
    return {
        "problems": problems.find(connection, ask),
        "providers": providers,
        "consumers": [{name: row[name] for name in _CONSUMER_COLUMNS} for row in consumers],
        "dead_letters": reports.newest_dead_letters(connection),
        "throughput": reports.throughput(connection),
        "events": reports.newest_events(connection),
        "drift": reports.schema_drift(connection)[:10],
    }


def _waiting(connection: Connection, ask: Callable[[], problems.Backlogs]) -> dict[str, int]:
    """Return how many deliveries wait by provider; empty if that is not known."""
    try:
        backlogs = ask()
    except StoreUnavailableError:
        return {}
    overflow = {row["provider"]: row["entries"] for row in reports.overflow_backlog(connection)}
    return {name: backlog.entries + overflow.get(name, 0) for name, backlog in backlogs.items()}


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was, in the largest unit that fits."""
    return f"{in_words((now - moment).total_seconds())} ago"


def _provider(
    name: str, counts: dict[str, Any], freshness: dict[str, Any] | None, waiting: int | None, suspected: int
) -> dict[str, Any]:
    state = "not swept"
    if freshness is not None:
        state = "up to date" if problems.is_current(freshness) else "behind"
    return {
        "provider": name,
        "state": state,
        "complete_until": freshness and freshness["complete_until"],
        "waiting": waiting,
        "stored": counts.get("stored", 0),
        "duplicates": counts.get("duplicate", 0),
        "dead_letters": counts.get("dead", 0),
        "discarded": counts.get("discarded", 0),
        "suspected": suspected,
    }
