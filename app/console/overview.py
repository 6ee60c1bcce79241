"""The operators' overview: the state of every provider, and a sentence for every problem."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from app.audit.problems import (
    clock_problems,
    drift_problems,
    loss_problems,
    schedule_problems,
    silence_problems,
)
from app.domain.clocks import TOLERATED_SECONDS
from app.domain.durations import in_words
from app.errors import StoreUnavailableError
from app.inbox.results import Backlog
from app.storage import fallbacks, rejected, reports
from app.storage.connection import Connection

# Inboxes are swept every few seconds: a provider this late has no worker, or a backlog that its worker cannot drain.
_LATE_SECONDS = 60.0
_UNREAD_SECONDS = 86_400.0
_CONSUMER_COLUMNS = ("consumer", "provider", "position", "positions_behind", "behind_seconds", "read_at")


def read(connection: Connection, inboxes: Callable[[], Mapping[str, Backlog]]) -> dict[str, Any]:
    """Return what the page shows: `problems` as sentences, none if all is well, and the rows of its tables.

    `inboxes` returns what waits in each inbox; it may raise StoreUnavailableError.
    """
    counts = {row["provider"]: row for row in reports.delivery_counts(connection)}
    swept, audits = reports.freshness(connection), reports.audits(connection)
    consumers = reports.feed_consumers(connection)
    freshness = {row["provider"]: row for row in swept}
    suspected = {row["provider"]: row["suspected"] for row in reports.suspected_counts(connection)}
    waiting, redis_problems = _waiting(connection, inboxes)
    providers = [
        _provider(name, counts.get(name, {}), freshness.get(name), waiting.get(name), suspected.get(name, 0))
        for name in sorted(counts | freshness)
    ]
    drift = reports.schema_drift(connection)
    return {
        "problems": [
            *loss_problems(audits),
            *schedule_problems(audits),
            *clock_problems(swept),
            *redis_problems,
            *provider_problems(providers),
            *consumer_problems(consumers),
            *silence_problems(reports.silence(connection)),
            *drift_problems(drift, reports.clock(connection)),
            *map(str, fallbacks.current(connection)),
            *map(str, rejected.current(connection)),
        ],
        "providers": providers,
        "consumers": [{name: row[name] for name in _CONSUMER_COLUMNS} for row in consumers],
        "dead_letters": reports.newest_dead_letters(connection),
        "throughput": reports.throughput(connection),
        "events": reports.newest_events(connection),
        "drift": drift[:10],
    }


def _waiting(connection: Connection, inboxes: Callable[[], Mapping[str, Backlog]]) -> tuple[dict[str, int], list[str]]:
    """Return how many deliveries wait by provider, or nothing and why that is not known."""
    try:
        backlogs = inboxes()
    except StoreUnavailableError as error:
        return {}, [f"How many deliveries wait is not known: {error}. Check Redis, and the console's REDIS_URL."]
    overflow = {row["provider"]: row["entries"] for row in reports.overflow_backlog(connection)}
    return {name: backlog.entries + overflow.get(name, 0) for name, backlog in backlogs.items()}, []


def provider_problems(providers: reports.Rows) -> Iterator[str]:
    """Yield a sentence for every state of a provider that needs an operator."""
    if not providers:
        yield "No inbox has been swept yet. Are workers and beat running?"
    for row in providers:
        name, letters = row["provider"], row["dead_letters"]
        if row["state"] == "not swept":
            yield f"{name}: its inbox has not been swept yet. Are its worker and beat running?"
        if row["state"] == "behind":
            yield f"{name}: the ledger is behind. Are its worker, beat and Redis running?"
        if letters:
            what = "1 delivery waits as a dead letter" if letters == 1 else f"{letters} deliveries wait as dead letters"
            hint = "kvitto dead-letters discard those that never can be taken in"
            yield f"{name}: {what}. Fix the cause, then run: kvitto dead-letters replay --provider {name}; or {hint}."
        if suspected := row.get("suspected", 0):
            what = "1 late retry may be a change" if suspected == 1 else f"{suspected} late retries may be changes"
            yield f"{name}: {what} back. Ask the customer; see: kvitto deliveries suspected."


def consumer_problems(consumers: reports.Rows) -> Iterator[str]:
    """Yield a sentence for every consumer of the feed that has not read for a day."""
    for row in consumers:
        if row["unread_seconds"] > _UNREAD_SECONDS:
            name, hours = row["consumer"], round(row["unread_seconds"] / 3600)
            hint = f"Start it; or, if it is no longer used, run: kvitto feed --forget {name}"
            yield f"{row['provider']}: consumer {name} has not read the feed for {hours} h. {hint}."


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was, in the largest unit that fits."""
    return f"{in_words((now - moment).total_seconds())} ago"


def _provider(
    name: str, counts: dict[str, Any], freshness: dict[str, Any] | None, waiting: int | None, suspected: int
) -> dict[str, Any]:
    if freshness is None:
        state = "not swept"
    else:
        is_current = -TOLERATED_SECONDS <= freshness["behind_seconds"] <= _LATE_SECONDS
        state = "up to date" if is_current else "behind"
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
