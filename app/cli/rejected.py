"""`kvitto rejected`: requests that were not authentic, and their readmission if our settings were wrong."""

import sys
from collections import Counter
from contextlib import AbstractContextManager
from datetime import datetime
from uuid import UUID

import click

from app.cli import param_types
from app.cli.operator_name import operator_option, require_operator
from app.cli.output import print_fields, print_rows
from app.cli.shared_options import json_option, known_provider
from app.processing.readmission import Readmission
from app.storage import rejected as requests
from app.storage.access_log import Access
from app.storage.connection import Connection, session
from config.environment import Environment
from config.settings import LedgerSettings

_LISTED = ("provider", "reason", "requests", "readmitted", "first_at", "last_at", "given_up_from")
_READMITTED = ("receipt", "provider", "received_at", "client", "reason", "outcome", "detail")
_SINCE = "Received at or after this time, in UTC: like 2026-11-01 or 2026-11-01T08:00:00."


def _connect() -> AbstractContextManager[Connection]:
    return session(LedgerSettings.load().database_url, "rejected")


@click.group(epilog="Example: kvitto rejected list")
def rejected() -> None:
    """List requests that were rejected, and readmit them once the fault is corrected.

    Requests are kept for seven days, sealed, and at most 20,000 or 256 MB of them per provider.
    """


@rejected.command("list", epilog="Example: kvitto rejected list --json")
@json_option
def list_(as_json: bool) -> None:
    """List what is kept, by provider and reason.

    The provider gives up on the first at `given_up_from`. They can be readmitted after that, too.
    """
    with _connect() as connection:
        rows = requests.summary(connection)
    print_rows(rows, _LISTED, as_json, empty="no rejected requests")


@rejected.command(epilog="Example: kvitto rejected show 01935b3e-7a60-7c3f-8d0a-0123456789ab")
@click.argument("receipt", type=click.UUID)
@json_option
def show(receipt: UUID, as_json: bool) -> None:
    """Show one rejected request, and whether it verifies now; its headers and body stay sealed."""
    readmission = Readmission(Environment.of_process())
    with _connect() as connection:
        found = requests.find(connection, receipt)
        if found is None:
            raise click.ClickException(f"{receipt} is no rejected request that is kept; see: kvitto rejected list")
        (judged,) = readmission.readmit(connection, [found], access=None)
    fields = found._asdict() | {"verifies": judged["outcome"] == "readmitted", "detail": judged["detail"]}
    del fields["request"]
    if as_json:
        print_rows([fields], (), as_json, empty="")
    else:
        print_fields(fields)


@rejected.command(epilog="Example: kvitto rejected readmit --since 2026-11-01T08:00:00 --dry-run")
@click.option("--since", required=True, type=param_types.moment, metavar="TIME", help=_SINCE)
@click.option("--provider", callback=known_provider, help="Of this provider.")
@click.option("--dry-run", is_flag=True, help="Show the outcome of each, and change nothing.")
@click.option("--why", callback=param_types.recorded_reason, help="Why; stored for good with operator and time.")
@operator_option
@json_option
def readmit(
    since: datetime, provider: str | None, dry_run: bool, why: str | None, operator: str | None, as_json: bool
) -> None:
    """Accept the rejected requests that verify with the present secrets.

    Each keeps its time of receipt. It can be interrupted and repeated. The access log records each readmission.
    """
    access = None if dry_run else Access("readmission", require_operator(operator), why)
    readmission = Readmission(Environment.of_process())
    with _connect() as connection, _connect() as reading:
        found = requests.since(reading, since, provider)
        rows = []
        for row in readmission.readmit(connection, found, access):
            rows.append(row)
            if not as_json and sys.stderr.isatty():
                click.echo(f"\r{len(rows)} requests", err=True, nl=False)
    if not as_json and sys.stderr.isatty():
        click.echo(err=True)
    print_rows(rows, _READMITTED, as_json, empty="no rejected requests since then")
    if not as_json and rows:
        counts = Counter(row["outcome"] for row in rows)
        click.echo(("would be: " if dry_run else "") + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
