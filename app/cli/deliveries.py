"""`kvitto deliveries`: late retries that may be a customer's change back, and what an operator found about each."""

from typing import Any
from uuid import UUID

import click

from app.cli.operator_name import operator_option, require_operator
from app.cli.output import print_rows
from app.cli.param_types import recorded_reason
from app.cli.shared_options import json_option
from app.processing.acceptance import accept as accept_delivery
from app.storage import late_retries, reports
from app.storage.connection import session
from config.environment import Environment
from config.settings import LedgerSettings

_LISTED = ("receipt", "provider", "event_type", "entity_id", "received_at", "retry_of")


@click.group(epilog="Example: kvitto deliveries suspected")
def deliveries() -> None:
    """List suspected late retries; accept one as a revision, or dismiss the suspicion."""


@deliveries.command(epilog="Example: kvitto deliveries suspected --json")
@json_option
def suspected(as_json: bool) -> None:
    """List late retries that may be a change back: every earlier try was answered promptly and completely."""
    with session(LedgerSettings.load().database_url, "deliveries") as connection:
        rows = reports.suspected_late_retries(connection)
    print_rows(rows, _LISTED, as_json, empty="no suspected late retries")


def _recorded(command: Any) -> Any:
    text = "Why; stored for good with operator and time."
    for option in (
        operator_option,
        click.option("--reason", required=True, callback=recorded_reason, help=text),
        click.argument("receipt", type=click.UUID),
    ):
        command = option(command)
    return command


@deliveries.command(
    epilog='Example: kvitto deliveries accept 01935b3e-7a60-7c3f-8d0a-0123456789ab --reason "case 4711"'
)
@_recorded
def accept(receipt: UUID, reason: str, operator: str | None) -> None:
    """Turn a late retry into a revision, in its place in the order of receipt."""
    name = require_operator(operator)
    try:
        event = accept_delivery(Environment.of_process(), receipt, reason, name)
    except LookupError as error:
        raise click.ClickException(f"{error}; see: kvitto deliveries suspected") from error
    click.echo(f"accepted: {event.entity.event_type} {event.entity.entity_id} was decided again")


@deliveries.command(
    epilog='Example: kvitto deliveries dismiss 01935b3e-7a60-7c3f-8d0a-0123456789ab --reason "case 4711"'
)
@_recorded
def dismiss(receipt: UUID, reason: str, operator: str | None) -> None:
    """Record that a suspected late retry is one: it stays a duplicate, and its entity is no longer flagged."""
    name = require_operator(operator)
    with session(LedgerSettings.load().database_url, "deliveries") as connection:
        try:
            with connection.transaction():
                late_retries.record(connection, receipt, False, name, reason)
        except LookupError as error:
            raise click.ClickException(f"{error}; see: kvitto deliveries suspected") from error
    click.echo("dismissed: it stays a duplicate")
