"""`kvitto migrate`: brings the database's schema up to date."""

import click

from app.storage import migrations
from app.storage.connection import session
from config.settings import LedgerSettings


@click.command(epilog="Example: DATABASE_URL=postgresql://kvitto@db/kvitto kvitto migrate")
@click.option("--dry-run", is_flag=True, help="Only list what would be applied.")
def migrate(dry_run: bool) -> None:
    """Apply pending migrations, all in one transaction."""
    with session(LedgerSettings.load().database_url, "migrate") as connection:
        names = migrations.pending(connection) if dry_run else migrations.migrate(connection)
    for name in names:
        click.echo(f"{'pending' if dry_run else 'applied'}  {name}")
    if not names:
        click.echo("nothing to apply")
