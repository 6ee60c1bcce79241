"""`kvitto audit --against`: a sender's record, compared with the ledger."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

import click
from redis import Redis

from app import against as comparing
from app import recording
from app.against import Against, Comparison
from app.cli.output import console, print_rows, say
from app.inbox import server, waiting
from app.recording import NoRecord
from app.storage.connection import session
from config.settings import AuditSettings

_SHOWN = 10


def compare(path: Path, settings: AuditSettings, seconds: float) -> Comparison:
    """Compare a record with the ledger; what is in flight has so many seconds to arrive.

    Raises:
        NoRecord: No tries were recorded, or something else was.
    """
    redis = server.connect(settings.redis_url, timeout_seconds=10)
    status = console(stderr=True).status("comparing the record with the ledger")
    with status, session(settings.database_url, "audit") as connection:
        against = Against(connection, lambda providers: _in_inboxes(redis, providers))
        done = 0
        for count in against.compare(recording.read(path)):
            done += count
            status.update(f"{done} tries compared with the ledger")
        if not done:
            raise NoRecord(f"no tries were recorded in {path}")
        for left in against.settle(seconds):
            status.update(f"{left} of {done} tries are in flight")
    return against.comparison


def _in_inboxes(redis: Redis, providers: Collection[str]) -> set[UUID]:
    return set().union(*(waiting.receipts(redis, provider) for provider in providers))


def show(comparison: Comparison, as_json: bool) -> None:
    """Print what comparing came to; exit 1 unless it is sound."""
    rows = comparison.rows()
    if as_json:
        for row in rows:
            row["findings"] = [
                asdict(found)
                for found in comparison.findings
                if (found.provider, found.topic) == (row["provider"], row["topic"])
            ]
    print_rows(rows, comparing.COLUMNS, as_json, empty="")
    if not as_json:
        _conclude(comparison)
    raise SystemExit(0 if comparison.sound else 1)


def _conclude(comparison: Comparison) -> None:
    if comparison.findings:
        click.echo("\nThe first that are missing or wrong; kvitto explain RECEIPT tells more:")
        shown = [asdict(found) for found in comparison.findings[:_SHOWN]]
        print_rows(shown, comparing.FINDING_COLUMNS, False, empty="")
        click.echo()
    if in_flight := sum(row["in_flight"] for row in comparison.rows()):
        click.echo(f"{in_flight} are in flight still: see that workers run, and compare again, with more --patience")
    if refused := sum(row["refused"] for row in comparison.rows()):
        click.echo(
            f"{refused} tries were refused that need not be: does the receiver know the sender's token or secret?"
        )
    verdict = "adds up" if comparison.sound else "DOES NOT ADD UP"
    say(
        f"{verdict}: accepted = stored + duplicate + dead, each as it was sent",
        "green" if comparison.sound else "bold red",
    )
