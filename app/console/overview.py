"""The operators' overview: the state of every provider, and a sentence for every problem."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from flask import render_template

from app.audit import problems
from app.console import charts
from app.console.access import Pages
from app.console.problem_finder import ProblemFinder
from app.domain.durations import in_words
from app.errors import StoreUnavailableError
from app.storage import operator_jobs, rejected, reports
from app.storage.connection import Connection


def add_routes(pages: Pages, finder: ProblemFinder) -> None:
    """Add the first page."""

    @pages.get("/", "read")
    def home(connection: Connection) -> str:
        return render_template("overview.html", live=True, **_read(connection, finder))


def _read(connection: Connection, finder: ProblemFinder) -> dict[str, Any]:
    """Return what the page shows: its problems, none if all is well, a state per provider, dead letters by cause."""
    ask = cache(finder.backlogs)
    now = reports.clock(connection)
    by_provider = {
        "counts": _by_provider(reports.delivery_counts(connection)),
        "freshness": _by_provider(reports.freshness(connection)),
        "suspected": _by_provider(reports.suspected_counts(connection)),
        "audit": _by_provider(reports.audits(connection)),
        "canary": _by_provider(reports.canaries(connection)),
        "rejected": _by_provider(rejected.last_hour(connection)),
        "latency": _by_provider(reversed(reports.throughput(connection))),
    }
    by_provider["waiting"] = _waiting(connection, ask)
    silence, minutes = reports.silence(connection), reports.minutes(connection)
    by_provider["silence"] = _by_provider(row for row in silence if row["topic"] is None)
    providers = []
    for name in sorted(by_provider["counts"] | by_provider["freshness"]):
        found = {what: rows.get(name, {}) for what, rows in by_provider.items()}
        chart = charts.draw((row for row in minutes if row["provider"] == name), now)
        providers.append(_provider(name, found) | {"chart": chart})
    return {
        "problems": finder.find(connection, ask),
        "providers": providers,
        "groups": operator_jobs.groups(connection),
    }


def _by_provider(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the last row of each provider."""
    return {row["provider"]: row for row in rows}


def _waiting(connection: Connection, ask: Callable[[], problems.Backlogs]) -> dict[str, dict[str, Any]]:
    """Return how many deliveries wait and for how long, by provider; empty if that is not known."""
    try:
        backlogs = ask()
    except StoreUnavailableError:
        return {}
    overflow = _by_provider(reports.overflow_backlog(connection))
    waiting = {}
    for name, backlog in backlogs.items():
        spilt = overflow.get(name, {"entries": 0, "oldest_seconds": 0.0})
        oldest = max(backlog.oldest_seconds, spilt["oldest_seconds"])
        waiting[name] = {"entries": backlog.entries + spilt["entries"], "oldest_seconds": oldest}
    return waiting


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was, or how far ahead it is, in the largest unit that fits."""
    seconds = (now - moment).total_seconds()
    return f"{in_words(seconds)} ago" if seconds > -60 else f"in {in_words(-seconds)}"


def _provider(name: str, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the state of a provider, with what was found of it; `waiting` is None if it is not known."""
    counts, freshness = found["counts"], found["freshness"]
    state = "not swept"
    if freshness:
        state = "up to date" if problems.is_current(freshness) else "behind"
    return {
        "provider": name,
        "state": state,
        "complete_until": freshness.get("complete_until"),
        "waiting": found["waiting"].get("entries"),
        "oldest_seconds": found["waiting"].get("oldest_seconds"),
        "stored": counts.get("stored", 0),
        "duplicates": counts.get("duplicate", 0),
        "dead_letters": counts.get("dead", 0),
        "discarded": counts.get("discarded", 0),
        "suspected": found["suspected"].get("suspected", 0),
        "rejected": found["rejected"].get("requests", 0),
        **{what: found[what] for what in ("audit", "canary", "latency", "silence")},
    }
