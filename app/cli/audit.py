"""`kvitto audit`: does every 200 have its receipt?"""

import click

from app import audit as auditing
from app import providers
from app.cli.output import print_rows
from app.inbox import Inbox, server
from app.storage.connection import connect
from config.environment import Environment
from config.settings import AuditSettings


@click.command(epilog="Example: kvitto audit --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit(as_json: bool) -> None:
    """Check conservation: appended + overflowed = receipts + copies + in flight, none missing. Exit 1 if one is."""
    environment = Environment.of_process()
    settings = AuditSettings.read(environment)
    providers.check_names(settings.providers, environment)
    environment.check()
    redis = server.connect(settings.redis_url, timeout_seconds=10)
    with connect(settings.database_url, "audit") as connection:
        accounts = [auditing.audit(connection, Inbox(redis, provider)) for provider in settings.providers]
    print_rows([account.row() for account in accounts], auditing.COLUMNS, as_json, empty="no providers")
    sound = all(account.missing == 0 for account in accounts)
    if not as_json:
        verdict = "adds up" if sound else "DOES NOT ADD UP"
        click.secho(
            f"{verdict}: appended + overflowed = receipts + copies + in flight + missing",
            fg="green" if sound else "red",
        )
    raise SystemExit(0 if sound else 1)
