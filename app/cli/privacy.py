"""`kvitto export`, `kvitto erase` and `kvitto access-log`: what is held of a person, its removal, and who did what."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import click

from app.cli import param_types
from app.cli.operator_name import operator_option, require_operator
from app.cli.output import print_rows, to_json
from app.cli.shared_options import json_option
from app.domain.event import Entity
from app.domain.national_ids import person_numbers
from app.domain.traces import Traces
from app.errors import StoreUnavailableError
from app.inbox import client
from app.local.file_search import files_with
from app.processing.erasure import erase as erase_held
from app.processing.export import export as export_held
from app.processing.holdings import Holdings, Subject, open_holdings
from app.storage import access_log as log
from app.storage import receipts, reports, trace_search
from app.storage.access_log import Access, Action, Wanted
from app.storage.connection import Connection, session
from app.storage.erasure import Held
from app.storage.trace_search import Found
from config.environment import Environment
from config.settings import AuditSettings, LedgerSettings

_HELD = ("provider", "held_as", "id", "receipts")
_LOGGED = ("logged_at", "action", "operator", "role", "reason", "provider", "receipt", "subject")


def _national_id(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """Return the national id that an option names; `-` reads it from the input, so that no history keeps it."""
    given = sys.stdin.readline().strip() if text == "-" else text
    if given is not None and not person_numbers(given):
        raise click.BadParameter("it is no national id; write it like 19811218-9876", context, option)
    return given


def _entity(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Entity | None:
    """Return the entity that an option names."""
    parts = text.split("/", 2) if text else []
    if text and (len(parts) < 3 or not all(parts)):
        raise click.BadParameter("write it like PROVIDER/TYPE/ID")
    return Entity(*parts) if parts else None


def _subject_options(command: Any) -> Any:
    why = "Why; stored for good with operator and time."
    for option in (
        operator_option,
        click.option("--reason", required=True, callback=param_types.recorded_reason, help=why),
        click.option(
            "--receipt",
            type=click.UUID,
            help="One dead letter, rejected request or delivery that waits, even if no key opens it.",
        ),
        click.option(
            "--entity", callback=_entity, metavar="PROVIDER/TYPE/ID", help="One entity, such as an application."
        ),
        click.option(
            "--person",
            callback=_national_id,
            metavar="NATIONAL_ID",
            help="A person, in any spelling; - reads it from the input.",
        ),
    ):
        command = option(command)
    return command


@contextmanager
def _opened(*options: str | Entity | UUID | None) -> Iterator[tuple[Subject, list[Holdings], Connection]]:
    """Open all that is held of what one option names; reject no option, and several."""
    named = [option for option in options if option is not None]
    if len(named) != 1:
        raise click.UsageError("name a person with --person, an entity with --entity, or a receipt with --receipt")
    environment = Environment.of_process()
    database_url = LedgerSettings.read(environment).database_url
    with (
        open_holdings(environment, named[0]) as (subject, holdings),
        session(database_url, "privacy") as connection,
    ):
        unread = {row["provider"] for row in reports.delivery_counts(connection)} - {each.name for each in holdings}
        if unread and subject.entity is None:
            names = ", ".join(sorted(unread))
            raise click.ClickException(f"PROVIDERS lacks {names}, of whom the ledger holds receipts: add to PROVIDERS")
        yield subject, holdings, connection


@click.command(epilog='Example: kvitto export --person - --reason "request 4711" > held.json')
@_subject_options
def export(person: str | None, entity: Entity | None, receipt: UUID | None, reason: str, operator: str | None) -> None:
    """Print all that is held of a person, an entity or a receipt, as JSON with where each part is kept.

    Bodies are opened, so that the output holds national ids and files in clear. The access log records it first.
    """
    operator = require_operator(operator)
    with _opened(person, entity, receipt) as (subject, holdings, connection):
        log.record(connection, Access("export", operator, reason, receipt=receipt, subject=subject.name))
        parts = [export_held(each, connection) for each in holdings]
    document = {"subject": subject.name, "exported_at": datetime.now(UTC), "providers": parts}
    click.echo(json.dumps(document, indent=2, default=to_json, ensure_ascii=False))


@click.command(epilog='Example: kvitto erase --person - --reason "request 4711" --dry-run')
@_subject_options
@click.option("--dry-run", is_flag=True, help="Show what would be erased, and change nothing.")
@click.option(
    "--files",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Also search the files below this folder, such as logs. Repeatable.",
)
@json_option
def erase(
    person: str | None,
    entity: Entity | None,
    receipt: UUID | None,
    reason: str,
    operator: str | None,
    dry_run: bool,
    files: Sequence[Path],
    as_json: bool,
) -> None:
    """Erase all that is held of a person, an entity or a receipt, as the schema's owner, while deliveries come in.

    Bodies, contents, projections, and what waits in inbox and overflow go; receipts stay as tombstones, so that the
    audit adds up. Each provider's part is erased as a whole, or not at all, and the command can be repeated. Then every
    table, every inbox and the files are searched for what is left. Exit 1 if anything is.
    """
    operator = require_operator(operator)
    with _opened(person, entity, receipt) as (subject, holdings, connection):
        access = Access("erasure", operator, reason, receipt=receipt, subject=subject.name)
        _require_sealed(connection, receipt)
        held = [each.find(connection) if dry_run else erase_held(each, connection, access) for each in holdings]
        unsearched = [row for each in holdings for row in _unsearched(each)]
        left: list[Found] = []
        if not dry_run:
            _clean_up(connection)
            left = _search(connection, holdings, files)
    report = {"held": [row for each in held for row in _rows(each)], "unsearched": unsearched}
    _print_report(report, left, dry_run, as_json)
    raise SystemExit(1 if left else 0)


def _require_sealed(connection: Connection, receipt: UUID | None) -> None:
    """Reject the receipt of an event: an event is erased with its entity."""
    for found in receipts.find_recorded(connection, [receipt] if receipt else []).values():
        if found.entity_id is not None:
            name = f"{found.provider}/{found.event_type}/{found.entity_id}"
            raise click.ClickException(f"{receipt} is an event: erase all of its entity with --entity {name}")


def _rows(held: Held) -> Iterator[dict[str, Any]]:
    """Yield a row for each entity, for the dead letters, and for what waits."""
    row = {"provider": held.provider}
    for entity in sorted(held.entities):
        yield row | {"held_as": entity.event_type, "id": entity.entity_id, "receipts": None}
    if held.receipts:
        yield row | {"held_as": "receipts in the ledger", "id": None, "receipts": len(held.receipts)}
    if held.rejected:
        yield row | {"held_as": "rejected requests", "id": None, "receipts": len(held.rejected)}
    if held.waiting:
        yield row | {"held_as": "deliveries that wait", "id": None, "receipts": len(held.waiting)}


def _unsearched(holdings: Holdings) -> Iterator[dict[str, Any]]:
    for body in holdings.unsearched:
        receipt = body.received.delivery.receipt
        yield {"provider": holdings.name, "held_as": body.place, "receipt": receipt, "problem": body.problem}


def _clean_up(connection: Connection) -> None:
    """Have both servers remove what they keep of deleted rows and entries, as far as a running server can."""
    trace_search.vacuum(connection)
    try:
        client.rewrite_append_only_file(client.connect(AuditSettings.load().redis, timeout_seconds=10))
    except StoreUnavailableError as error:
        hint = "run BGREWRITEAOF on it: its append-only file still holds the deleted entries, sealed"
        click.echo(f"Redis did not write its file again ({error}); {hint}", err=True)


def _search(connection: Connection, holdings: Sequence[Holdings], files: Sequence[Path]) -> list[Found]:
    """Search tables, sealed bodies and files for what is left, or came since."""
    subject = holdings[0].subject
    traces = Traces(subject.numbers, subject.pseudonyms.union(*(each.traces.ids for each in holdings)))
    found = []
    for each in holdings:
        each.forget()
        held = each.find(connection)
        if since := len(held.receipts) + len(held.waiting) + len(held.rejected):
            found.append(Found(f"{each.name}: deliveries that came since", since))
    found += trace_search.search(connection, traces)
    return found + [Found(str(path), 1) for folder in files for path in files_with(folder, traces.in_bytes)]


def _print_report(
    report: Mapping[str, list[dict[str, Any]]], left: Sequence[Found], dry_run: bool, as_json: bool
) -> None:
    found = [place._asdict() for place in left]
    if as_json:
        document = dict(report) | {"dry_run": dry_run, "left": found}
        click.echo(json.dumps(document, indent=2, default=to_json, ensure_ascii=False))
        return
    print_rows(report["held"], _HELD, False, empty="nothing is held")
    if report["unsearched"]:
        click.echo("\nThese could not be opened, so they were not searched:")
        print_rows(report["unsearched"], ("provider", "held_as", "receipt", "problem"), False, empty="")
    if dry_run:
        click.echo("\nNothing was changed. Without --dry-run, all of this is erased.")
        return
    click.echo("\nErased. Then every table, every inbox and the named files were searched:")
    print_rows(found, Found._fields, False, empty="nothing is left")


@click.command("access-log", epilog="Example: kvitto access-log --action reveal --since 2026-11-01")
@click.option("--action", type=click.Choice(get_args(Action)), help="Of this kind.")
@click.option("--receipt", type=click.UUID, help="About this delivery.")
@click.option("--since", type=param_types.moment, metavar="TIME", help="At or after this time, in UTC.")
@click.option("--limit", type=click.IntRange(min=1), default=100, help="Largest number of rows.")
@json_option
def access_log(action: str | None, receipt: UUID | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """Print who did what with the data of others, newest first, in the role kvitto_privacy or the owner's."""
    with session(LedgerSettings.load().database_url, "access-log") as connection:
        rows = log.select(connection, Wanted(action, receipt, since), limit)
    print_rows(rows, _LOGGED, as_json, empty="nothing was logged")
