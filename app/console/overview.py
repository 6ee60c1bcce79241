"""What the operators' page says: how every provider stands, and what is wrong, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.storage import reports
from app.storage.connection import Connection

# Inboxes are swept every few seconds: who is this far behind has no worker, or more than it can drain.
_LATE_SECONDS = 60.0
# Audits come every 30 s; a worker that drains a backlog may be late for a few.
_UNAUDITED_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Overview:
    """A state of the ledger; `troubles` is empty if all is well."""

    troubles: list[str]
    providers: reports.Rows
    dead_letters: reports.Rows
    throughput: reports.Rows
    events: reports.Rows


def read(connection: Connection) -> Overview:
    """Read the state now."""
    counted = {row["provider"]: row for row in reports.delivery_counts(connection)}
    fresh = {row["provider"]: row for row in reports.freshness(connection)}
    providers = [_standing(name, counted.get(name, {}), fresh.get(name)) for name in sorted(counted | fresh)]
    return Overview(
        troubles=[*shortfalls(reports.audits(connection)), *troubles(providers)],
        providers=providers,
        dead_letters=reports.newest_dead_letters(connection),
        throughput=reports.throughput(connection),
        events=reports.newest_events(connection),
    )


def troubles(providers: reports.Rows) -> Iterator[str]:
    """Yield what an operator has to look at, a sentence each."""
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
            yield f"{name}: {what}. Mend the cause, then: kvitto dead-letters replay --provider {name}."


def shortfalls(audits: reports.Rows) -> Iterator[str]:
    """Yield what the last audits found, the gravest there is: a delivery that nobody can account for."""
    for row in audits:
        if row["missing"]:
            yield f"{row['provider']}: {row['missing']} MISSING: run kvitto audit."
        if row["seconds_ago"] > _UNAUDITED_SECONDS:
            minutes = round(row["seconds_ago"] / 60)
            yield f"{row['provider']}: not audited for {minutes} min. Are its worker and beat running?"


def ago(moment: datetime, now: datetime) -> str:
    """Say how long ago a moment was, in its largest unit."""
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _standing(name: str, counted: dict[str, Any], fresh: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "provider": name,
        "state": _state(fresh),
        "complete_until": fresh and fresh["complete_until"],
        "waiting": fresh["pending"] if fresh else None,
        "stored": counted.get("stored", 0),
        "duplicates": counted.get("duplicate", 0),
        "dead_letters": counted.get("dead", 0),
    }


def _state(fresh: dict[str, Any] | None) -> str:
    if fresh is None:
        return "not swept"
    return "behind" if fresh["behind_seconds"] > _LATE_SECONDS else "up to date"
