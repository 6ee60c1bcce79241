"""The operators' overview: the state of every provider, and a sentence for every problem."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from app.storage import fallbacks, reports
from app.storage.connection import Connection

# Inboxes are swept every few seconds: a provider this late has no worker, or a backlog that its worker cannot drain.
_LATE_SECONDS = 60.0
# Audits run every 30 s; a worker that drains a backlog may skip a few.
_UNAUDITED_SECONDS = 180.0


def read(connection: Connection) -> dict[str, Any]:
    """Return what the page shows: `problems` as sentences, none if all is well, and the rows of its tables."""
    counts = {row["provider"]: row for row in reports.delivery_counts(connection)}
    freshness = {row["provider"]: row for row in reports.freshness(connection)}
    providers = [_provider(name, counts.get(name, {}), freshness.get(name)) for name in sorted(counts | freshness)]
    return {
        "problems": [
            *audit_problems(reports.audits(connection)),
            *provider_problems(providers),
            *map(str, fallbacks.current(connection)),
        ],
        "providers": providers,
        "dead_letters": reports.newest_dead_letters(connection),
        "throughput": reports.throughput(connection),
        "events": reports.newest_events(connection),
    }


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
            yield f"{name}: {what}. Fix the cause, then run: kvitto dead-letters replay --provider {name}."


def audit_problems(audits: reports.Rows) -> Iterator[str]:
    """Yield a sentence for every audit that found a delivery missing, or is overdue."""
    for row in audits:
        if row["missing"]:
            yield f"{row['provider']}: {row['missing']} MISSING: run kvitto audit."
        if row["seconds_ago"] > _UNAUDITED_SECONDS:
            minutes = round(row["seconds_ago"] / 60)
            yield f"{row['provider']}: not audited for {minutes} min. Are its worker and beat running?"


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was, in the largest unit that fits."""
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _provider(name: str, counts: dict[str, Any], freshness: dict[str, Any] | None) -> dict[str, Any]:
    if freshness is None:
        state = "not swept"
    else:
        state = "behind" if freshness["behind_seconds"] > _LATE_SECONDS else "up to date"
    return {
        "provider": name,
        "state": state,
        "complete_until": freshness and freshness["complete_until"],
        "waiting": freshness and freshness["pending"],
        "stored": counts.get("stored", 0),
        "duplicates": counts.get("duplicate", 0),
        "dead_letters": counts.get("dead", 0),
    }
