"""`kvitto dead-letters`: what could not be opened, validated or stored, its replay, and its discard."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from app.cli import param_types
from app.cli.operator_name import operator_option, require_operator
from app.cli.output import print_fields, print_rows
from app.cli.shared_options import json_option, known_provider
from app.errors import REASONS
from app.processing.replay import replay as replay_letters
from app.storage import dead_letters as letters
from app.storage.access_log import Access
from app.storage.connection import Connection, patient, session
from app.storage.dead_letters import Selection
from app.storage.receipts import why_without_body
from config.environment import Environment
from config.settings import LedgerSettings

_LISTED = ("receipt", "provider", "topic", "reason", "detail", "received_at")
_REPLAYED = ("receipt", "outcome", "reason", "event_type", "entity_id", "revision", "detail")
_SINCE = "Received at or after this time, in UTC: like 2026-11-01 or 2026-11-01T08:00:00."


def _filters(command: Any) -> Any:
    for option in (
        click.option("--since", type=param_types.moment, metavar="TIME", help=_SINCE),
        click.option("--provider", callback=known_provider, help="Of this provider."),
        click.option("--reason", type=click.Choice(REASONS), help="For this reason."),
    ):
        command = option(command)
    return command


def _connect() -> AbstractContextManager[Connection]:
    return session(LedgerSettings.load().database_url, "dead-letters")


def _find(connection: Connection, receipt: UUID) -> dict[str, Any]:
    if row := letters.find(connection, receipt):
        return row
    raise click.ClickException(f"{receipt} is no dead letter; see: kvitto dead-letters list")


def _require_body(connection: Connection, letter: Mapping[str, Any]) -> None:
    if letter["sealed_bytes"] is None:
        raise click.ClickException(why_without_body(connection, letter["receipt"]))


@click.group("dead-letters", epilog="Example: kvitto dead-letters list --reason wrong-key")
def dead_letters() -> None:
    """List, show, replay and discard deliveries that are stored as dead letters."""


@dead_letters.command("list", epilog="Example: kvitto dead-letters list --provider kompar --since 2026-11-01")
@_filters
@click.option("--limit", type=click.IntRange(min=1), default=100, help="Largest number of rows.")
@json_option
def list_(reason: str | None, provider: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """List dead letters, oldest first."""
    with _connect() as connection, patient(connection):
        rows = letters.select(connection, Selection(None, provider, reason, since), limit + 1)
    print_rows(rows[:limit], _LISTED, as_json, empty="no dead letters")
    if len(rows) > limit:
        click.echo(f"these are the oldest {limit}; for more: --limit", err=True)


@dead_letters.command(epilog="Example: kvitto dead-letters show 01935b3e-7a60-7c3f-8d0a-0123456789ab --json")
@click.argument("receipt", type=click.UUID)
@json_option
def show(receipt: UUID, as_json: bool) -> None:
    """Show one dead letter; its body stays sealed."""
    with _connect() as connection:
        row = _find(connection, receipt)
        note = None if row["sealed_bytes"] else why_without_body(connection, receipt)
    if as_json:
        print_rows([row], (), as_json, empty="")
    else:
        print_fields(row | ({"note": note} if note else {}))


@dead_letters.command(epilog="Example: kvitto dead-letters replay --reason wrong-key --dry-run")
@click.argument("receipt", type=click.UUID, required=False)
@_filters
@click.option("--all", "replay_all", is_flag=True, help="All dead letters.")
@click.option("--dry-run", is_flag=True, help="Show the outcome of each, row by row, and change nothing.")
@click.option("--why", callback=param_types.recorded_reason, help="Why; stored for good with operator and time.")
@operator_option
@json_option
def replay(
    receipt: UUID | None,
    reason: str | None,
    provider: str | None,
    since: datetime | None,
    replay_all: bool,
    dry_run: bool,
    why: str | None,
    operator: str | None,
    as_json: bool,
) -> None:
    """Process dead letters again, those selected or all; each keeps its time of receipt.

    A discarded one is replayed only if it is named. The access log records each replay.
    """
    if replay_all == any((receipt, reason, provider, since)):
        raise click.UsageError("name a receipt, a reason, a provider or a time; or --all of them")
    access = None if dry_run else Access("replay", require_operator(operator), why)
    with _connect() as connection:
        if receipt:
            _require_body(connection, _find(connection, receipt))
        with patient(connection):
            rows = letters.select(connection, Selection(receipt, provider, reason, since))
        selected = [row["receipt"] for row in rows]
        rows = []
        interrupted = False
        try:
            rows += _replayed(selected, access)
        except KeyboardInterrupt:
            interrupted = True
    print_rows(rows, _REPLAYED, as_json, empty="no dead letters to replay")
    if not as_json and rows:
        counts = Counter(row["outcome"] for row in rows)
        summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        click.echo(f"{'would become' if dry_run else 'became'}: {summary}")
    if interrupted:
        click.echo("interrupted; the same command replays the rest", err=True)
        raise SystemExit(130)


@dead_letters.command(
    epilog='Example: kvitto dead-letters discard --reason wrong-key --since 2026-11-01 --why "key lost, sent again"'
)
@click.argument("receipt", type=click.UUID, required=False)
@_filters
@click.option(
    "--why", required=True, callback=param_types.recorded_reason, help="Why; stored for good with operator and time."
)
@operator_option
def discard(
    receipt: UUID | None,
    reason: str | None,
    provider: str | None,
    since: datetime | None,
    why: str,
    operator: str | None,
) -> None:
    """Discard dead letters that can never be taken in: they count apart, and are no problem any more.

    Their sealed bodies stay. `replay RECEIPT` takes a discard back. The access log records each.
    """
    if not any((receipt, reason, provider, since)):
        raise click.UsageError("name a receipt, a reason, a provider or a time")
    name = require_operator(operator)
    with _connect() as connection:
        if receipt:
            _find(connection, receipt)
        discarded = letters.discard(connection, Selection(receipt, provider, reason, since), name, why)
    click.echo(f"discarded: {len(discarded)}")
    if receipt and not discarded:
        raise click.ClickException(f"{receipt} is no dead letter any more; see: kvitto dead-letters show {receipt}")


def _replayed(receipts: list[UUID], access: Access | None) -> Iterator[dict[str, Any]]:
    """Replay, with a progress bar on a terminal; yield a row per outcome."""
    outcomes = replay_letters(Environment.of_process(), receipts, access)
    hidden = not sys.stderr.isatty()
    with click.progressbar(outcomes, len(receipts), "replaying", file=sys.stderr, hidden=hidden) as progress:
        for receipt, outcome in progress:
            if outcome is not None:
                yield {
                    "receipt": receipt,
                    "outcome": outcome.name,
                    "reason": outcome.reason,
                    "event_type": outcome.entity.event_type if outcome.entity else None,
                    "entity_id": outcome.entity.entity_id if outcome.entity else None,
                    "revision": outcome.revision,
                    "detail": outcome.detail,
                }
