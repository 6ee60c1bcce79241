"""`kvitto subscriptions verify`: does what a provider sends arrive in the ledger?"""

import time
from datetime import datetime
from typing import Any

import click

from app.cli.output import print_rows
from app.cli.provider_session import asking, known_provider
from app.storage import reports
from app.storage.connection import Connection
from app.storage.subscriptions import clock

_EVERY_SECONDS = 0.2
_COLUMNS = ("provider", "topic", "receipt", "outcome", "reason", "seconds")
_STYLES = {"stored": "green", "duplicate": "green", "dead": "bold red"}


@click.command(
    short_help="Have a test event sent and wait for its row.",
    epilog="Example: kvitto subscriptions verify kompar applications --seconds 30",
)
@click.argument("provider", callback=known_provider)
@click.argument("topic")
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True, help="How long to wait.")
@click.option("--no-trigger", is_flag=True, help="Have nothing sent: wait for whatever comes next.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(provider: str, topic: str, seconds: float, no_trigger: bool, as_json: bool) -> None:
    """Have the provider's test environment, or the sandbox, send an event; wait until its row is in Postgres.

    Exit 1 if none came in time, or became a dead letter.
    """
    with asking(provider, topic, f"waiting for {topic} of {provider}") as asked:
        since = clock(asked.connection)
        started = time.monotonic()
        if not no_trigger:
            asked.api.trigger(topic)
        found = _awaited(asked.connection, provider, topic, since, started + seconds)
        took = time.monotonic() - started
    if found is None:
        raise click.ClickException(_where_to_look(provider, topic, seconds, asked.api.secrets))
    row = {"provider": provider, "topic": topic, "seconds": round(took, 2)} | found
    print_rows([row], _COLUMNS, as_json, empty="", styles=_STYLES)
    if found["outcome"] == "dead":
        raise click.ClickException(f"it became a dead letter; see: kvitto explain {found['receipt']}")


def _awaited(connection: Connection, provider: str, topic: str, since: datetime, until: float) -> dict[str, Any] | None:
    """Return the first delivery that came since then; None if none came until `until`, in monotonic seconds."""
    while (found := reports.first_since(connection, provider, topic, since)) is None:
        if time.monotonic() > until:
            return None
        time.sleep(_EVERY_SECONDS)
    return found


def _where_to_look(provider: str, topic: str, seconds: float, secrets: str | None) -> str:
    restart = f"  {secrets:<28}was ingest restarted since the secret was added?\n" if secrets else ""
    return (
        f"no {topic} of {provider} in Postgres after {seconds:.0f} s. Look, in this order:\n"
        f"{restart}"
        f"  kvitto subscriptions list   is it registered, and for this service's address?\n"
        f"  the log of ingest           is it refused (401: another token or secret), or does nothing arrive?\n"
        f"  kvitto audit                does it wait in flight, for a worker?"
    )
