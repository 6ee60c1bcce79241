"""`kvitto reseal`: seals bodies anew, so that an old key can be retired."""

import sys
from collections.abc import Iterator
from uuid import UUID

import click

from app.crypto.sealing import SealingKeys
from app.errors import InvalidDeliveryError
from app.storage import bodies
from app.storage.connection import Connection, session
from config.settings import ResealSettings


@click.command(
    short_help="Seal bodies again under the first key.",
    epilog="Example: DATABASE_URL=postgresql://owner@db/kvitto kvitto reseal",
)
@click.option("--dry-run", is_flag=True, help="Only count the bodies under other keys.")
def reseal(dry_run: bool) -> None:
    """Seal every body that another key sealed under the first of SEALING_KEYS, as the schema's owner.

    It can be interrupted and begun again. Once it finds nothing, and no delivery from before waits in an
    inbox, the other keys can go.
    """
    settings = ResealSettings.load()
    keys = SealingKeys(settings.sealing_keys)
    unopened: list[UUID] = []
    with session(settings.database_url, "reseal") as connection:
        found = {table: bodies.count_excluding(connection, table, keys.prefix) for table in bodies.TABLES}
        if not dry_run:
            with click.progressbar(length=sum(found.values()), label="sealing", file=sys.stderr) as progress:
                for table in bodies.TABLES:
                    for resealed, lost in _reseal(connection, table, keys):
                        unopened += lost
                        progress.update(resealed + len(lost))
    count = sum(found.values()) - len(unopened)
    click.echo(f"{count} bodies {'are under other keys' if dry_run else 'sealed anew'}")
    if unopened:
        told = ", ".join(map(str, unopened[:10]))
        raise click.ClickException(f"no key opens {len(unopened)}: add it to SEALING_KEYS and begin again ({told})")


def _reseal(connection: Connection, table: str, keys: SealingKeys) -> Iterator[tuple[int, list[UUID]]]:
    """Seal a table's bodies anew, a portion a transaction; yield how many each time, and those that no key opens."""
    found = bodies.select_excluding(connection, table, keys.prefix)
    while found:
        fresh, unopened = [], []
        for receipt, sealed in found:
            try:
                fresh.append((receipt, keys.seal(receipt, keys.unseal(receipt, sealed))))
            except InvalidDeliveryError:
                unopened.append(receipt)
        bodies.replace(connection, table, fresh)
        yield len(fresh), unopened
        found = bodies.select_excluding(connection, table, keys.prefix, after=found[-1][0])
