"""`kvitto audit`: does every 200 have its receipt?"""

import click

from app import audit as auditing
from app import providers
from app.cli.output import console, print_rows, say
from app.inbox import Inbox, server
from app.storage.connection import session
from config.environment import Environment
from config.settings import AuditSettings


@click.command(short_help="Check that every 200 has its receipt.", epilog="Example: kvitto audit --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit(as_json: bool) -> None:
    """Check conservation: appended + overflowed = receipts + copies + in flight, none missing. Exit 1 if one is."""
    environment = Environment.of_process()
    settings = AuditSettings.read(environment)
    providers.check_names(settings.providers, environment)
    environment.check()
    redis = server.connect(settings.redis_url, timeout_seconds=10)
    waiting = console(stderr=True).status("comparing inboxes with the ledger")
    with waiting, session(settings.database_url, "audit") as connection:
        accounts = [auditing.audit(connection, Inbox(redis, provider)) for provider in settings.providers]
    print_rows([account.row() for account in accounts], auditing.COLUMNS, as_json, empty="no providers")
    sound = all(account.missing == 0 for account in accounts)
    if not as_json:
        verdict = "adds up" if sound else "DOES NOT ADD UP"
        told = "appended + overflowed = receipts + copies + in flight + missing"
        say(f"{verdict}: {told}", "green" if sound else "bold red")
    raise SystemExit(0 if sound else 1)
