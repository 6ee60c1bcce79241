"""`kvitto reseal`: seals bodies anew, so that an old key can be retired."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.crypto.sealing import SealingKeys
from app.errors import Rejected
from app.storage import bodies
from app.storage.connection import Connection, session
from config.settings import ResealSettings


@click.command(
    short_help="Seal bodies anew under the first key.",
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
    with _told(), session(settings.database_url, "reseal") as connection:
        found = {table: bodies.count_but(connection, table, keys.prefix) for table in bodies.TABLES}
        if not dry_run:
            with click.progressbar(length=sum(found.values()), label="sealing", file=sys.stderr) as progress:
                for table in bodies.TABLES:
                    for count in _reseal(connection, table, keys):
                        progress.update(count)
    click.echo(f"{sum(found.values())} bodies {'are under other keys' if dry_run else 'sealed anew'}")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except Rejected as error:
        raise click.ClickException(f"{error}; add it behind the others to SEALING_KEYS and begin again") from error


def _reseal(connection: Connection, table: str, keys: SealingKeys) -> Iterator[int]:
    """Seal a table's bodies anew, a portion a transaction; yield how many each time."""
    found = bodies.portion_but(connection, table, keys.prefix)
    while found:
        fresh = [(receipt, keys.seal(receipt, keys.unseal(receipt, sealed))) for receipt, sealed in found]
        bodies.replace(connection, table, fresh)
        yield len(fresh)
        found = bodies.portion_but(connection, table, keys.prefix, after=found[-1][0])
