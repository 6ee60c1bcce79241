"""`kvitto reveal`: one delivery in clear, for an operator who gives a reason."""

import getpass
import json
import sys
from uuid import UUID

import click

from app.cli.param_types import without_national_id
from app.crypto.sealing import SealingKeys
from app.errors import DataRejectedError, InvalidDeliveryError
from app.providers import registry
from app.storage import bodies, receipts
from app.storage.connection import session
from config.environment import Environment
from config.settings import WorkerSettings


@click.command(epilog='Example: kvitto reveal 01935b3e-7a60-7c3f-8d0a-0123456789ab --reason "complaint 4711"')
@click.argument("receipt", type=click.UUID)
@click.option(
    "--reason", required=True, callback=without_national_id, help="Why; stored for good with operator and time."
)
@click.option("--raw", is_flag=True, help="Print the body as received, even if it cannot be opened.")
def reveal(receipt: UUID, reason: str, raw: bool) -> None:
    """Open one sealed body and print its content, national ids and files included.

    A row in kvitto.body_access_log is written first; the worker's role can insert such rows and never change them.
    """
    environment = Environment.of_process()
    settings = WorkerSettings.read(environment)
    environment.check()
    with session(settings.database_url, "reveal") as connection:
        try:
            bodies.record_access(connection, receipt, reason, getpass.getuser())
        except DataRejectedError as error:
            raise click.ClickException(f"the ledger has no receipt {receipt}") from error
        delivery = receipts.load(connection, [receipt])[0].delivery
    try:
        body = SealingKeys(settings.sealing_keys).unseal(receipt, delivery.sealed)
        if raw:
            click.echo(body, nl=sys.stdout.isatty())
            return
        provider = registry.load(delivery.provider, environment)
        environment.check()
        if provider is not None:  # check() raises for a provider without a folder
            payload = provider.open(delivery.topic, delivery.headers, body)
            click.echo(json.dumps(payload.content, indent=2, ensure_ascii=False, default=str))
    except InvalidDeliveryError as error:
        raise click.ClickException(f"{error}; --raw prints the body if the seal itself can be opened") from error
