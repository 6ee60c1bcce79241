"""`kvitto audit`: does every 200 have its receipt?"""

import getpass
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

import click
from redis import Redis

from app.audit import attempt_log
from app.audit import conservation as auditing
from app.audit import reconcile as comparing
from app.audit.attempt_log import AttemptLogFormatError
from app.audit.conservation import ProviderBalance
from app.audit.reconcile import Comparison, Reconciler
from app.cli import param_types
from app.cli.output import console, print_rows, say
from app.cli.param_types import without_national_id
from app.inbox import client
from app.inbox.stream import Inbox
from app.providers import registry
from app.storage import audit_results, reports
from app.storage.audit_results import Loss
from app.storage.connection import Connection, session
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
    type=param_types.duration,
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
    registry.check_names(settings.providers, environment)
    environment.check()
    if against is not None:
        show(_compared(against, settings, patience), as_json)
    redis = client.connect(settings.redis_url, timeout_seconds=10)
    waiting = console(stderr=True).status("comparing inboxes with the ledger")
    with waiting, session(settings.database_url, "audit") as connection:
        inboxes = [Inbox(redis, provider) for provider in settings.providers]
        accounts = [auditing.audit(connection, inbox) for inbox in inboxes]
        if accept_loss is not None and reason is not None:
            _accept(connection, accounts, accept_loss, reason)
            accounts = [auditing.audit(connection, inbox) for inbox in inboxes]
        others = [row["provider"] for row in reports.delivery_counts(connection)]
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
    except AttemptLogFormatError as error:
        raise click.ClickException(f"{error}; name a file that `kvitto sandbox send --record` wrote") from error


def _accept(connection: Connection, accounts: Sequence[ProviderBalance], epoch: UUID, reason: str) -> None:
    """Settle what an epoch lost; whose it is follows from the accounts."""
    for account in accounts:
        for life in account.epochs:
            if life.epoch == epoch and life.missing:
                audit_results.accept(connection, Loss(account.provider, epoch, life.missing), reason, getpass.getuser())
                return
    raise click.ClickException(f"nothing is missing of epoch {epoch}; `kvitto audit` lists those that lost something")


def _conclude(accounts: Sequence[ProviderBalance], missing: Mapping[str, int]) -> None:
    """Say in words what the table comes to, epoch by epoch where something was lost."""
    lost = [row for account in accounts for row in account.losses()]
    if lost:
        click.echo("\nEpochs that lost something:")
        print_rows(lost, auditing.EPOCH_COLUMNS, False, empty="")
    if any(row["missing"] for row in lost):
        click.echo("Have the provider send again what it delivered before last_seen_at; then settle each epoch:")
        click.echo("  kvitto audit --accept-loss EPOCH --reason …\n")
    if missing:
        whose = ", ".join(f"{provider} {count}" for provider, count in missing.items())
        say(f"DOES NOT ADD UP: {sum(missing.values())} missing ({whose}); {_LEFT} must equal {_RIGHT}", "bold red")
    else:
        say(f"adds up: {_LEFT} = {_RIGHT}", "green")


_SHOWN = 10


def compare(path: Path, settings: AuditSettings, seconds: float) -> Comparison:
    """Compare a record with the ledger; what is in flight has so many seconds to arrive.

    Raises:
        AttemptLogFormatError: No tries were recorded, or something else was.
    """
    redis = client.connect(settings.redis_url, timeout_seconds=10)
    status = console(stderr=True).status("comparing the record with the ledger")
    with status, session(settings.database_url, "audit") as connection:
        against = Reconciler(connection, lambda providers: _in_inboxes(redis, providers))
        done = 0
        for count in against.compare(attempt_log.read(path)):
            done += count
            status.update(f"{done} tries compared with the ledger")
        if not done:
            raise AttemptLogFormatError(f"no tries were recorded in {path}")
        for left in against.await_in_flight(seconds):
            status.update(f"{left} of {done} tries are in flight")
    return against.comparison


def _in_inboxes(redis: Redis, providers: Collection[str]) -> set[UUID]:
    return set().union(*(Inbox(redis, provider).receipts() for provider in providers))


def show(comparison: Comparison, as_json: bool) -> None:
    """Print what comparing came to; exit 1 unless it is sound."""
    rows = comparison.rows()
    if as_json:
        for row in rows:
            row["findings"] = [
                asdict(found)
                for found in comparison.discrepancies
                if (found.provider, found.topic) == (row["provider"], row["topic"])
            ]
    print_rows(rows, comparing.COLUMNS, as_json, empty="")
    if not as_json:
        _conclude_comparison(comparison)
    raise SystemExit(0 if comparison.passed else 1)


def _conclude_comparison(comparison: Comparison) -> None:
    if comparison.discrepancies:
        click.echo("\nThe first that are missing or wrong; kvitto explain RECEIPT tells more:")
        shown = [asdict(found) for found in comparison.discrepancies[:_SHOWN]]
        print_rows(shown, comparing.DISCREPANCY_COLUMNS, False, empty="")
        click.echo()
    if in_flight := sum(row["in_flight"] for row in comparison.rows()):
        click.echo(f"{in_flight} are in flight still: see that workers run, and compare again, with more --patience")
    if refused := sum(row["refused"] for row in comparison.rows()):
        click.echo(
            f"{refused} tries were refused that need not be: does the receiver know the sender's token or secret?"
        )
    verdict = "adds up" if comparison.passed else "DOES NOT ADD UP"
    say(
        f"{verdict}: accepted = stored + duplicate + dead, each as it was sent",
        "green" if comparison.passed else "bold red",
    )
