"""`kvitto reveal` and `kvitto reseal`: a sealed body in clear, and all bodies under another key."""

import json
import sys
from collections.abc import Iterator
from uuid import UUID

import click

from app.cli.operator_name import operator_option, require_operator
from app.cli.param_types import recorded_reason
from app.crypto.sealing import SealingKeys
from app.errors import InvalidDeliveryError
from app.providers import registry
from app.storage import access_log, bodies, receipts
from app.storage.access_log import Access
from app.storage.bodies import Place
from app.storage.connection import Connection, session
from config.environment import Environment
from config.settings import ResealSettings, WorkerSettings


@click.command(epilog='Example: kvitto reveal 01935b3e-7a60-7c3f-8d0a-0123456789ab --reason "complaint 4711"')
@click.argument("receipt", type=click.UUID)
@click.option("--reason", required=True, callback=recorded_reason, help="Why; stored for good with operator and time.")
@operator_option
@click.option("--raw", is_flag=True, help="Print the body as received, even if it cannot be opened.")
def reveal(receipt: UUID, reason: str, operator: str | None, raw: bool) -> None:
    """Open one sealed body and print its content, national ids and files included.

    The access log records it first; the worker's role can add rows to the log and never change them.
    The operator in it is a claim. The server adds the role of the connection.
    """
    operator = require_operator(operator)
    environment = Environment.of_process()
    settings = WorkerSettings.read(environment)
    environment.check()
    with session(settings.database_url, "reveal") as connection:
        found = receipts.load(connection, [receipt])
        if not found:
            raise click.ClickException(receipts.why_without_body(connection, receipt))
        delivery = found[0].delivery
        access_log.record(connection, Access("reveal", operator, reason, delivery.provider, receipt))
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


@click.command(epilog="Example: DATABASE_URL=postgresql://owner@db/kvitto kvitto reseal")
@operator_option
@click.option("--dry-run", is_flag=True, help="Only count the bodies under other keys.")
def reseal(operator: str | None, dry_run: bool) -> None:
    """Seal bodies of other keys again under the first of SEALING_KEYS, as the schema's owner.

    It can be interrupted and repeated. The other keys can go once it finds no body, and no delivery from before
    waits in an inbox. The access log records it.
    """
    name = "" if dry_run else require_operator(operator)
    settings = ResealSettings.load()
    keys = SealingKeys(settings.sealing_keys)
    unopened: list[UUID] = []
    with session(settings.database_url, "reseal") as connection:
        places = bodies.places(connection)
        total = sum(bodies.count_excluding(connection, place, keys.prefix) for place in places)
        if not dry_run:
            access_log.record(connection, Access("reseal", name, subject=f"{total} bodies, key {keys.key_ids[0]}"))
            with click.progressbar(length=total, label="sealing", file=sys.stderr) as progress:
                for place in places:
                    for resealed, failed in _reseal(connection, place, keys):
                        unopened += failed
                        progress.update(resealed + len(failed))
    click.echo(f"{total - len(unopened)} bodies {'are under other keys' if dry_run else 'sealed again'}")
    if unopened:
        listed = ", ".join(map(str, unopened[:10]))
        raise click.ClickException(f"no key opens {len(unopened)}: add it to SEALING_KEYS and repeat ({listed})")


def _reseal(connection: Connection, place: Place, keys: SealingKeys) -> Iterator[tuple[int, list[UUID]]]:
    """Seal a column's bodies again, one batch a transaction; yield each batch's count, and receipts no key opens."""
    batch = bodies.select_excluding(connection, place, keys.prefix)
    while batch:
        resealed, unopened = [], []
        for receipt, sealed in batch:
            try:
                resealed.append((receipt, keys.seal(receipt, keys.unseal(receipt, sealed))))
            except InvalidDeliveryError:
                unopened.append(receipt)
        bodies.replace(connection, place, resealed)
        yield len(resealed), unopened
        batch = bodies.select_excluding(connection, place, keys.prefix, after=batch[-1][0])
