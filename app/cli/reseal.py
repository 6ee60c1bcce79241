"""`kvitto reseal`: seals bodies again, so that an old key can be retired."""

import sys
from collections.abc import Iterator
from uuid import UUID

import click

from app.crypto.sealing import SealingKeys
from app.errors import InvalidDeliveryError
from app.storage import bodies
from app.storage.connection import Connection, session
from config.settings import ResealSettings


@click.command(epilog="Example: DATABASE_URL=postgresql://owner@db/kvitto kvitto reseal")
@click.option("--dry-run", is_flag=True, help="Only count the bodies under other keys.")
def reseal(dry_run: bool) -> None:
    """Seal bodies of other keys again under the first of SEALING_KEYS, as the schema's owner.

    It can be interrupted and repeated. The other keys can go once it finds no body, and no delivery from before
    waits in an inbox.
    """
    settings = ResealSettings.load()
    keys = SealingKeys(settings.sealing_keys)
    unopened: list[UUID] = []
    with session(settings.database_url, "reseal") as connection:
        total = sum(bodies.count_excluding(connection, table, keys.prefix) for table in bodies.TABLES)
        if not dry_run:
            with click.progressbar(length=total, label="sealing", file=sys.stderr) as progress:
                for table in bodies.TABLES:
                    for resealed, failed in _reseal(connection, table, keys):
                        unopened += failed
                        progress.update(resealed + len(failed))
    click.echo(f"{total - len(unopened)} bodies {'are under other keys' if dry_run else 'sealed again'}")
    if unopened:
        receipts = ", ".join(map(str, unopened[:10]))
        raise click.ClickException(f"no key opens {len(unopened)}: add it to SEALING_KEYS and repeat ({receipts})")


def _reseal(connection: Connection, table: str, keys: SealingKeys) -> Iterator[tuple[int, list[UUID]]]:
    """Seal a table's bodies again, one batch a transaction; yield each batch's count, and receipts no key opens."""
    batch = bodies.select_excluding(connection, table, keys.prefix)
    while batch:
        resealed, unopened = [], []
        for receipt, sealed in batch:
            try:
                resealed.append((receipt, keys.seal(receipt, keys.unseal(receipt, sealed))))
            except InvalidDeliveryError:
                unopened.append(receipt)
        bodies.replace(connection, table, resealed)
        yield len(resealed), unopened
        batch = bodies.select_excluding(connection, table, keys.prefix, after=batch[-1][0])
