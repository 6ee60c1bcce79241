"""`kvitto migrate`: brings the database's schema up to date, and sets the passwords of the processes' roles."""

import click

from app.storage import migration_runner
from app.storage.connection import session
from app.storage.migration_runner import ROLES, set_passwords
from config.checks.result import fault
from config.environment import ConfigurationError
from config.settings import MigrateSettings


@click.command(epilog="Example: DATABASE_URL=postgresql://owner@db/kvitto kvitto migrate")
@click.option("--dry-run", is_flag=True, help="Only list what would be applied.")
def migrate(dry_run: bool) -> None:
    """Apply pending migrations in one transaction, and set the roles' passwords that ROLE_PASSWORDS lists."""
    settings = MigrateSettings.load()
    if unknown := {role for role, _ in settings.role_passwords} - set(ROLES):
        raise ConfigurationError(
            [fault("ROLE_PASSWORDS", f"names {', '.join(sorted(unknown))}", f"Name roles among {', '.join(ROLES)}")]
        )
    with session(settings.database_url, "migrate") as connection:
        names = migration_runner.pending(connection) if dry_run else migration_runner.migrate(connection)
        if not dry_run:
            set_passwords(connection, settings.role_passwords)
    for name in names:
        click.echo(f"{'pending' if dry_run else 'applied'}  {name}")
    if not names:
        click.echo("nothing to apply")
