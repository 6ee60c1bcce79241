"""`kvitto migrate`: brings the database's schema up to date, and sets the passwords of the processes' roles."""

import click

from app.storage import migration_runner
from app.storage.connection import session
from config.settings import MigrateSettings


@click.command(epilog="Example: DATABASE_URL=postgresql://owner@db/kvitto kvitto migrate")
@click.option("--dry-run", is_flag=True, help="Only list what would be applied.")
def migrate(dry_run: bool) -> None:
    """Apply pending migrations, and set the roles' passwords that ROLE_PASSWORDS lists: all of it, or nothing."""
    settings = MigrateSettings.load()
    with session(settings.database_url, "migrate") as connection:
        if dry_run:
            names = migration_runner.pending(connection)
        else:
            names = migration_runner.migrate(connection, settings.role_prefix, settings.role_passwords)
    for name in names:
        click.echo(f"{'pending' if dry_run else 'applied'}  {name}")
    if not names:
        click.echo("nothing to apply")
