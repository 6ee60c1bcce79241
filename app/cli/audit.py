"""`kvitto audit`: does every 200 have its receipt?"""

import getpass
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

import click

from app import audit as auditing
from app import providers, quantities
from app.against import Comparison
from app.audit import Account
from app.cli.against import compare, show
from app.cli.output import console, print_rows, say
from app.cli.reasons import without_national_id
from app.inbox import Inbox, server
from app.recording import NoRecord
from app.storage import losses, reports
from app.storage.connection import Connection, session
from app.storage.losses import Loss
from config.environment import Environment
from config.settings import AuditSettings

_LEFT, _RIGHT = "appended + overflowed", "receipts + copies + in flight + accepted loss"


@click.command(short_help="Check that every 200 has its receipt.", epilog="Example: kvitto audit --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--accept-loss", type=click.UUID, metavar="EPOCH", help="Settle what this epoch lost, for good.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Check instead every try that a sender recorded: `kvitto sandbox send --record`.",
)
@click.option(
    "--patience",
    type=quantities.duration,
    default="60s",
    show_default=True,
    help="With --against: how long what is in flight may take to arrive.",
)
@click.option("--reason", callback=without_national_id, help="Why it is settled; kept beside who and when.")
def audit(as_json: bool, accept_loss: UUID | None, reason: str | None, against: Path | None, patience: float) -> None:
    """Check conservation: appended + overflowed = receipts + copies + in flight + accepted loss.

    What the right side lacks is missing. Exit 1 if anything is.

    An epoch is one life of an inbox: a Redis that was emptied or replaced begins a new one, and what waited in the
    old one is missing. Have the provider send it again, then settle the loss with --accept-loss and --reason.

    Against a record, try by try: each that was answered 200 has one receipt in the ledger, of the same provider, topic
    and entity, with an outcome that it may have.
    """
    _refuse_unfitting(accept_loss, reason, against)
    environment = Environment.of_process()
    settings = AuditSettings.read(environment)
    providers.check_names(settings.providers, environment)
    environment.check()
    if against is not None:
        show(_compared(against, settings, patience), as_json)
    redis = server.connect(settings.redis_url, timeout_seconds=10)
    waiting = console(stderr=True).status("comparing inboxes with the ledger")
    with waiting, session(settings.database_url, "audit") as connection:
        inboxes = [Inbox(redis, provider) for provider in settings.providers]
        accounts = [auditing.audit(connection, inbox) for inbox in inboxes]
        if accept_loss is not None and reason is not None:
            _accept(connection, accounts, accept_loss, reason)
            accounts = [auditing.audit(connection, inbox) for inbox in inboxes]
        others = [row["provider"] for row in reports.conservation(connection)]
    rows = [account.row() | {"losses": list(account.losses())} for account in accounts]
    print_rows(rows, auditing.COLUMNS, as_json, empty="no providers")
    miscounted = [account.provider for account in accounts if account.outcomes.miscounted]
    missing = {account.provider: account.missing for account in accounts if account.missing}
    if not as_json:
        _conclude(accounts, missing)
    if unseen := sorted(set(others) - set(settings.providers)):
        click.echo(f"not audited: {', '.join(unseen)}, of whom the ledger holds receipts; add to PROVIDERS", err=True)
    if miscounted:
        mend = "as the schema's owner: SELECT kvitto.recount_receipts()"
        click.echo(
            f"dashboards are told wrong counts of {', '.join(miscounted)}: they were written past; {mend}", err=True
        )
    raise SystemExit(0 if not missing and not miscounted else 1)


def _refuse_unfitting(accept_loss: UUID | None, reason: str | None, against: Path | None) -> None:
    """Refuse options that would go unheeded beside each other."""
    if (accept_loss is None) != (reason is None):
        raise click.UsageError("--accept-loss and --reason go together")
    if against is not None and accept_loss is not None:
        raise click.UsageError("--against goes without --accept-loss: it settles nothing")
    patience = click.get_current_context().get_parameter_source("patience")
    if against is None and patience is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--patience goes with --against FILE; without one, leave it out")


def _compared(path: Path, settings: AuditSettings, patience: float) -> Comparison:
    try:
        return compare(path, settings, patience)
    except NoRecord as error:
        raise click.ClickException(f"{error}; name a file that `kvitto sandbox send --record` wrote") from error


def _accept(connection: Connection, accounts: Sequence[Account], epoch: UUID, reason: str) -> None:
    """Settle what an epoch lost; whose it is follows from the accounts."""
    for account in accounts:
        for life in account.lives:
            if life.epoch == epoch and life.missing:
                losses.accept(connection, Loss(account.provider, epoch, life.missing), reason, getpass.getuser())
                return
    raise click.ClickException(f"nothing is missing of epoch {epoch}; `kvitto audit` lists those that lost something")


def _conclude(accounts: Sequence[Account], missing: Mapping[str, int]) -> None:
    """Say in words what the table comes to, epoch by epoch where something was lost."""
    lost = [row for account in accounts for row in account.losses()]
    if lost:
        click.echo("\nEpochs that lost something:")
        print_rows(lost, auditing.LIFE_COLUMNS, False, empty="")
    if any(row["missing"] for row in lost):
        click.echo("Have the provider send again what it delivered before last_seen_at; then settle each epoch:")
        click.echo("  kvitto audit --accept-loss EPOCH --reason …\n")
    if missing:
        whose = ", ".join(f"{provider} {count}" for provider, count in missing.items())
        say(f"DOES NOT ADD UP: {sum(missing.values())} missing ({whose}); {_LEFT} must equal {_RIGHT}", "bold red")
    else:
        say(f"adds up: {_LEFT} = {_RIGHT}", "green")
