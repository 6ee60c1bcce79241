"""`kvitto dead-letters`: what could not be opened, validated or stored, and its replay."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from app.cli import param_types
from app.cli.output import print_fields, print_rows
from app.domain.outcome import Outcome
from app.errors import REASONS
from app.processing.replay import Replay
from app.providers import registry
from app.storage import dead_letters as letters
from app.storage.connection import Connection, session
from app.storage.dead_letters import Selection
from config.environment import Environment
from config.settings import LedgerSettings

_BECAME = ("receipt", "outcome", "reason", "event_type", "entity_id", "revision", "detail")
_SINCE = "Received at or after this time, in UTC: like 2026-11-01 or 2026-11-01T08:00:00."
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _known(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    if name is None or registry.is_known(name):
        return name
    raise click.BadParameter(f"{name!r} has no folder in app/providers")


def _filters(command: Any) -> Any:
    for option in (
        click.option("--since", type=param_types.moment, metavar="TIME", help=_SINCE),
        click.option("--provider", callback=_known, help="Of this provider."),
        click.option("--reason", type=click.Choice(REASONS), help="For this reason."),
    ):
        command = option(command)
    return command


def _selection(
    reason: str | None, provider: str | None, since: datetime | None, receipt: UUID | None = None
) -> Selection:
    return Selection(receipt, provider, reason, since)


def _connect() -> AbstractContextManager[Connection]:
    return session(LedgerSettings.load().database_url, "dead-letters")


@click.group(
    "dead-letters",
    short_help="List, show and replay dead letters.",
    epilog="Example: kvitto dead-letters list --reason cannot-open",
)
def dead_letters() -> None:
    """List, show and replay deliveries that are kept as dead letters."""


@dead_letters.command("list", epilog="Example: kvitto dead-letters list --provider kompar --since 2026-11-01")
@_filters
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@_json
def list_(reason: str | None, provider: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """List dead letters, oldest first."""
    with _connect() as connection:
        rows = letters.select(connection, _selection(reason, provider, since), limit + 1)
    columns = ("receipt", "provider", "topic", "reason", "detail", "received_at")
    print_rows(rows[:limit], columns, as_json, empty="no dead letters")
    if len(rows) > limit:
        click.echo(f"these are the oldest {limit}; for more: --limit", err=True)


@dead_letters.command(epilog="Example: kvitto dead-letters show 01935b3e-7a60-7c3f-8d0a-0123456789ab --json")
@click.argument("receipt", type=click.UUID)
@_json
def show(receipt: UUID, as_json: bool) -> None:
    """Show one dead letter; its body stays sealed."""
    with _connect() as connection:
        row = letters.find(connection, receipt)
    if row is None:
        raise _no_letter(receipt)
    if as_json:
        print_rows([row], (), as_json, empty="")
    else:
        print_fields(row)


def _no_letter(receipt: UUID) -> click.ClickException:
    return click.ClickException(f"{receipt} is no dead letter; see: kvitto dead-letters list")


@dead_letters.command(epilog="Example: kvitto dead-letters replay --reason cannot-open --dry-run")
@click.argument("receipt", type=click.UUID, required=False)
@_filters
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--dry-run", is_flag=True, help="Show what would become of each, row by row, and change nothing.")
@_json
def replay(
    receipt: UUID | None,
    reason: str | None,
    provider: str | None,
    since: datetime | None,
    every: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Settle dead letters again, those selected or all; each keeps its time of receipt."""
    if every == any((receipt, reason, provider, since)):
        raise click.UsageError("name a receipt, a reason, a provider or a time; or --all of them")
    with _connect() as connection:
        if receipt and letters.find(connection, receipt) is None:
            raise _no_letter(receipt)
        found = [row["receipt"] for row in letters.select(connection, _selection(reason, provider, since, receipt))]
        rows: list[dict[str, Any]] = []
        interrupted = False
        try:
            rows += _replayed(found, dry_run)
        except KeyboardInterrupt:
            interrupted = True
    print_rows(rows, _BECAME, as_json, empty="no dead letters to replay")
    if not as_json and rows:
        counts = Counter(row["outcome"] for row in rows)
        told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        click.echo(f"{'would become' if dry_run else 'became'}: {told}")
    if interrupted:
        click.echo("interrupted; the same command replays the rest", err=True)
        raise SystemExit(130)


def _replayed(found: list[UUID], dry_run: bool) -> Iterator[dict[str, Any]]:
    """Replay, with a bar on a terminal."""
    replayed = Replay(Environment.of_process()).run(found, dry_run)
    hidden = not sys.stderr.isatty()
    with click.progressbar(replayed, len(found), "replaying", file=sys.stderr, hidden=hidden) as steps:
        for receipt, outcome in steps:
            if outcome is not None:
                yield _became(receipt, outcome)


def _became(receipt: UUID, outcome: Outcome) -> dict[str, Any]:
    """Return the row that a receipt's outcome comes to."""
    entity = outcome.entity
    about = {"event_type": entity.event_type if entity else None, "entity_id": entity.entity_id if entity else None}
    told = {"outcome": outcome.name, "reason": outcome.reason}
    return {"receipt": receipt} | told | about | {"revision": outcome.revision, "detail": outcome.detail}
