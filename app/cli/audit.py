"""`kvitto audit`: does every 200 have its receipt?"""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import click
from click.core import ParameterSource

from app.audit import attempt_log, conservation, reconcile
from app.audit.attempt_log import AttemptLogFormatError
from app.audit.conservation import ProviderBalance
from app.audit.reconcile import Reconciler
from app.cli import param_types
from app.cli.operator_name import operator_option, require_operator
from app.cli.output import console, print_line, print_rows
from app.cli.shared_options import json_option
from app.inbox import client
from app.inbox.stream import Inbox
from app.providers import registry
from app.storage import audits, periods, reports
from app.storage.audits import Loss
from app.storage.connection import Connection, patient, session
from config.environment import Environment
from config.settings import AuditSettings

_LEFT, _RIGHT = "appended + overflowed", "receipts + copies + in flight + accepted loss"
_FINDINGS_SHOWN = 10


@click.command(epilog="Example: kvitto audit --json")
@json_option
@click.option("--full", is_flag=True, help="Count every row of the ledger again; takes seconds per ten million.")
@click.option("--accept-loss", type=click.UUID, metavar="EPOCH", help="Record what this epoch lost as accepted.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Check every delivery attempt that a sender recorded instead: `kvitto sandbox send --record`.",
)
@click.option(
    "--timeout",
    type=param_types.duration,
    default="60s",
    help="With --against: how long to wait for deliveries in flight.",
)
@click.option(
    "--reason",
    callback=param_types.recorded_reason,
    help="Why the loss is accepted; kept with the operator and the time.",
)
@operator_option
def audit(
    as_json: bool,
    full: bool,
    accept_loss: UUID | None,
    reason: str | None,
    operator: str | None,
    against: Path | None,
    timeout: float,
) -> None:
    """Check conservation: appended + overflowed = receipts + copies + in flight + accepted loss.

    What the right side lacks is missing. Exit 1 if anything is.

    An epoch is one life of an inbox. A Redis that was emptied, replaced or set back begins a new epoch; deliveries that
    waited in the old one are missing. Have the provider send them again, then record the loss with --accept-loss and
    --reason.

    Entries that are older than an hour or so were counted before, and are counted again once a day. Rows that somebody
    deleted past the triggers are missing within a day, or at once with --full.

    With --against, check attempt by attempt: each one answered 200 has one receipt in the ledger, of the same
    provider, topic and entity, with an outcome that it may have.
    """
    _reject_incompatible_options(accept_loss, reason, against, full)
    loss_operator = require_operator(operator) if accept_loss is not None else ""
    environment = Environment.of_process()
    settings = AuditSettings.read(environment)
    registry.check_names(settings.providers, environment)
    environment.check()
    if against is not None:
        reconciler = _reconcile(against, settings, timeout)
        _print_reconciliation(reconciler, as_json)
        raise SystemExit(0 if reconciler.passed else 1)
    redis = client.connect(settings.redis, timeout_seconds=10)
    progress = console(stderr=True).status("comparing inboxes with the ledger")
    with progress, session(settings.database_url, "audit") as connection:
        inboxes = [Inbox(redis, provider) for provider in settings.providers]
        if full:
            _recount(connection, settings.providers)
        balances = [conservation.audit(connection, inbox) for inbox in inboxes]
        if accept_loss is not None and reason is not None:
            _accept_loss(connection, balances, accept_loss, reason, loss_operator)
            balances = [conservation.audit(connection, inbox) for inbox in inboxes]
        unaudited = {row["provider"] for row in reports.delivery_counts(connection)} - set(settings.providers)
    _print_balances(balances, as_json)
    if unaudited:
        names = ", ".join(sorted(unaudited))
        click.echo(f"not audited: {names}, of whom the ledger holds receipts; add to PROVIDERS", err=True)
    raise SystemExit(1 if any(balance.missing for balance in balances) else 0)


def _recount(connection: Connection, providers: Sequence[str]) -> None:
    """Count every period again, instead of relying on counts that are a day old at most."""
    for provider in providers:
        with patient(connection):
            periods.recount(connection, provider, everything=True)


def _reject_incompatible_options(
    accept_loss: UUID | None, reason: str | None, against: Path | None, full: bool
) -> None:
    if (accept_loss is None) != (reason is None):
        raise click.UsageError("--accept-loss and --reason go together")
    if against is not None and accept_loss is not None:
        raise click.UsageError("--against goes without --accept-loss: it accepts no loss")
    if against is not None and full:
        raise click.UsageError("--against goes without --full: it compares every attempt")
    timeout = click.get_current_context().get_parameter_source("timeout")
    if against is None and timeout is not ParameterSource.DEFAULT:
        raise click.UsageError("--timeout goes with --against FILE; without one, leave it out")


def _accept_loss(
    connection: Connection, balances: Sequence[ProviderBalance], epoch: UUID, reason: str, operator: str
) -> None:
    """Record an epoch's loss as accepted; the balances show which provider's it is."""
    for balance in balances:
        for life in balance.epochs:
            if life.epoch == epoch and life.missing:
                audits.accept(connection, Loss(balance.provider, epoch, life.missing), reason, operator)
                return
    raise click.ClickException(f"nothing is missing of epoch {epoch}; `kvitto audit` lists those that lost something")


def _print_balances(balances: Sequence[ProviderBalance], as_json: bool) -> None:
    """Print the balances, and on a terminal a summary in words and the epochs that lost something."""
    rows = [balance.row() | {"losses": list(balance.losses())} for balance in balances]
    print_rows(rows, conservation.COLUMNS, as_json, empty="no providers")
    if as_json:
        return
    if losses := [loss for balance in balances for loss in balance.losses()]:
        click.echo("\nEpochs that lost something:")
        print_rows(losses, conservation.EPOCH_COLUMNS, False, empty="")
    if any(loss["missing"] for loss in losses):
        click.echo("Have the provider send again what it delivered before last_seen_at; then accept each epoch's loss:")
        click.echo("  kvitto audit --accept-loss EPOCH --reason …\n")
    missing = {balance.provider: balance.missing for balance in balances if balance.missing}
    if missing:
        counts = ", ".join(f"{provider} {count}" for provider, count in missing.items())
        total = sum(missing.values())
        print_line(f"DOES NOT ADD UP: {total} missing ({counts}); {_LEFT} must equal {_RIGHT}", "bold red")
    else:
        print_line(f"adds up: {_LEFT} = {_RIGHT}", "green")


def _reconcile(path: Path, settings: AuditSettings, timeout: float) -> Reconciler:
    """Compare a record with the ledger; wait up to `timeout` seconds for what is in flight."""
    redis = client.connect(settings.redis, timeout_seconds=10)
    progress = console(stderr=True).status("comparing the record with the ledger")
    with progress, session(settings.database_url, "audit") as connection:
        reconciler = Reconciler(
            connection, lambda names: set().union(*(Inbox(redis, name).receipts() for name in names))
        )
        compared = 0
        try:
            for count in reconciler.compare(attempt_log.read(path)):
                compared += count
                progress.update(f"{compared} attempts compared with the ledger")
            if not compared:
                raise AttemptLogFormatError(f"no attempts were recorded in {path}")
        except AttemptLogFormatError as error:
            raise click.ClickException(f"{error}; name a file that `kvitto sandbox send --record` wrote") from error
        for in_flight in reconciler.await_in_flight(timeout):
            progress.update(f"{in_flight} of {compared} attempts are in flight")
    return reconciler


def _print_reconciliation(reconciler: Reconciler, as_json: bool) -> None:
    """Print the counts; as JSON with all findings, on a terminal with the first and a summary in words."""
    rows, findings = reconciler.rows(), reconciler.discrepancies
    if as_json:
        for row in rows:
            place = row["provider"], row["topic"]
            row["findings"] = [finding for finding in findings if (finding["provider"], finding["topic"]) == place]
    print_rows(rows, reconcile.COLUMNS, as_json, empty="")
    if as_json:
        return
    if findings:
        click.echo("\nThe first that are missing or wrong; kvitto explain RECEIPT shows more:")
        print_rows(findings[:_FINDINGS_SHOWN], reconcile.DISCREPANCY_COLUMNS, False, empty="")
        click.echo()
    if in_flight := sum(row["in_flight"] for row in rows):
        hint = "check that workers run, and compare again with a longer --timeout"
        click.echo(f"{in_flight} are still in flight: {hint}")
    if refused := sum(row["refused"] for row in rows):
        hint = "does the receiver have the sender's token or secret?"
        click.echo(f"{refused} attempts were rejected that should have been accepted: {hint}")
    result, style = ("adds up", "green") if reconciler.passed else ("DOES NOT ADD UP", "bold red")
    print_line(f"{result}: accepted = stored + duplicate + dead, each as it was sent", style)
