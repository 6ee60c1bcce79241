"""`kvitto reveal`: one delivery in clear, for someone who says why."""

import getpass
import json
import sys
from uuid import UUID

import click

from app.cli.param_types import without_national_id
from app.crypto.sealing import SealingKeys
from app.domain.delivery import ReceivedDelivery
from app.errors import DataRejectedError, InvalidDeliveryError
from app.providers import registry
from app.storage import body_access, receipts
from app.storage.connection import Connection, session
from config.environment import Environment
from config.settings import WorkerSettings


@click.command(
    short_help="Print one delivery's body in clear.",
    epilog='Example: kvitto reveal 01935b3e-7a60-7c3f-8d0a-0123456789ab --reason "complaint 4711"',
)
@click.argument("receipt", type=click.UUID)
@click.option("--reason", required=True, callback=without_national_id, help="Why; kept for good beside who and when.")
@click.option("--raw", is_flag=True, help="The body as it was received, whatever it holds.")
def reveal(receipt: UUID, reason: str, raw: bool) -> None:
    """Open one sealed body and print its content, national ids and files included.

    A row in kvitto.body_access_log is written first, which the worker's role can add and never change.
    """
    environment = Environment.of_process()
    settings = WorkerSettings.read(environment)
    environment.check()
    with session(settings.database_url, "reveal") as connection:
        received = _taken_out(connection, receipt, reason)
    try:
        body = SealingKeys(settings.sealing_keys).unseal(receipt, received.delivery.sealed)
        click.echo(body if raw else _content(received, body, environment), nl=sys.stdout.isatty() or not raw)
    except InvalidDeliveryError as error:
        raise click.ClickException(f"{error}; --raw prints the body if the seal itself can be opened") from error


def _taken_out(connection: Connection, receipt: UUID, reason: str) -> ReceivedDelivery:
    try:
        body_access.record(connection, receipt, reason, getpass.getuser())
    except DataRejectedError as error:
        raise click.ClickException(f"the ledger has no receipt {receipt}") from error
    return receipts.load(connection, [receipt])[0]


def _content(received: ReceivedDelivery, body: bytes, environment: Environment) -> str:
    delivery = received.delivery
    provider = registry.load(delivery.provider, environment)
    environment.check()
    assert provider is not None  # noqa: S101 - else check() has raised
    payload = provider.open(delivery.topic, delivery.headers, body)
    return json.dumps(payload.content, indent=2, ensure_ascii=False, default=str)
