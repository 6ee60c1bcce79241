"""`kvitto retention`: how long the ledger keeps bodies, contents and receipts, and their removal."""

from collections import Counter
from contextlib import closing

import click

from app.cli.operator_name import operator_option, require_operator
from app.cli.output import console, print_rows
from app.cli.shared_options import json_option
from app.providers import registry
from app.storage import access_log
from app.storage import retention as ages
from app.storage.access_log import Access
from app.storage.connection import patient, session
from app.storage.ledger import Ledger
from app.storage.retention import PostponedError, Retention
from config.environment import Environment
from config.settings import RetentionSettings

_NOTHING_SET = "RETENTION is not set: everything is kept for good"
_PENDING = (*ages.COLUMNS, "rows", "dead_letters")
# A run of the command may take as long as its operator waits.
_SECONDS = 24 * 3600.0


def _settings() -> RetentionSettings:
    environment = Environment.of_process()
    settings = RetentionSettings.read(environment)
    registry.check_limits(settings.retention, environment)
    environment.check()
    return settings


@click.group(epilog="Example: kvitto retention show")
def retention() -> None:
    """Show and apply how long the ledger keeps bodies, contents and receipts (RETENTION).

    Workers apply it every ten minutes. Limits are calendar months in UTC: with 6 months, what was received in January
    is removed from the first of August on.
    """


@retention.command(epilog="Example: kvitto retention show --json")
@json_option
def show(as_json: bool) -> None:
    """Show each limit, the instant before which it removes, and up to where the last run removed."""
    settings = _settings()
    with session(settings.database_url, "retention") as connection:
        rows = ages.limits(connection, settings.retention)
    print_rows(rows, ages.COLUMNS, as_json, empty=_NOTHING_SET)


@retention.command(epilog="Example: kvitto retention apply --dry-run")
@click.option("--dry-run", is_flag=True, help="Count what would be removed, and change nothing.")
@operator_option
@json_option
def apply(dry_run: bool, operator: str | None, as_json: bool) -> None:
    """Remove what is older than its limit. It can be interrupted and repeated; the next run continues.

    The access log records it; what workers remove by the same limits is in their logs.

    `dead_letters` of a dry run are those that wait for a replay and would be removed with their bodies: replay or
    discard them first. Exit 1 if a part has to wait for the next run.
    """
    name = "" if dry_run else require_operator(operator)
    settings = _settings()
    with session(settings.database_url, "retention") as connection:
        if dry_run:
            with patient(connection):
                rows = ages.pending(connection, ages.limits(connection, settings.retention))
            print_rows(rows, _PENDING, as_json, empty=_NOTHING_SET)
            return
        for limit in ages.limits(connection, settings.retention):
            subject = f"{limit['kind']} from before {limit['removes_before']:%Y-%m-%d}"
            access_log.record(connection, Access("retention", name, provider=limit["provider"], subject=subject))
    removed: Counter[tuple[str, str]] = Counter()
    postponed = ""
    with console(stderr=True).status("removing what is older than its limit") as progress:
        for provider in settings.retention:
            with closing(Ledger(settings.database_url, provider, settings.durability_exceptions)) as ledger:
                try:
                    for step in Retention(ledger, provider, settings.retention, _SECONDS).apply():
                        removed[step.provider, step.what] += step.rows
                        progress.update(f"{removed.total()} rows removed")
                except PostponedError as error:
                    postponed = str(error)
    found = [{"provider": name, "removed": what, "rows": rows} for (name, what), rows in sorted(removed.items())]
    empty = "nothing is older than its limit" if settings.retention else _NOTHING_SET
    print_rows(found, ("provider", "removed", "rows"), as_json, empty)
    if postponed:
        raise click.ClickException(f"{postponed}; the rest is removed by the next run")
