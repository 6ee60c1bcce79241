"""`kvitto subscriptions verify`: does an event that a provider sends reach the ledger?"""

import time
from typing import Any

import click

from app.cli import param_types
from app.cli.output import print_rows
from app.cli.provider_session import known_provider, open_session
from app.storage import reports
from app.storage.subscriptions import clock

_POLL_SECONDS = 0.2
_COLUMNS = ("provider", "topic", "receipt", "outcome", "reason", "seconds")
_STYLES = {"stored": "green", "duplicate": "green", "dead": "bold red"}


@click.command(
    short_help="Have a test event sent and wait for its row.",
    epilog="Example: kvitto subscriptions verify kompar applications --timeout 30s",
)
@click.argument("provider", callback=known_provider)
@click.argument("topic")
@click.option(
    "--timeout", type=param_types.duration, default="60s", show_default=True, help="How long to wait for the event."
)
@click.option("--no-trigger", is_flag=True, help="Do not request a test event; wait for the next event that arrives.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(provider: str, topic: str, timeout: float, no_trigger: bool, as_json: bool) -> None:
    """Have the provider's test environment, or the sandbox, send an event; wait until its row is in Postgres.

    Exit 1 if none arrives in time, or if it becomes a dead letter.
    """
    with open_session(provider, topic, f"waiting for {topic} of {provider}") as session:
        since = clock(session.connection)
        started = time.monotonic()
        if not no_trigger:
            session.api.trigger(topic)
        delivery: dict[str, Any] | None = None
        while (delivery := reports.first_since(session.connection, provider, topic, since)) is None:
            if time.monotonic() > started + timeout:
                raise click.ClickException(_next_steps(provider, topic, timeout, session.api.secrets))
            time.sleep(_POLL_SECONDS)
        elapsed = time.monotonic() - started
    row = {"provider": provider, "topic": topic, "seconds": round(elapsed, 2)} | delivery
    print_rows([row], _COLUMNS, as_json, empty="", styles=_STYLES)
    if delivery["outcome"] == "dead":
        raise click.ClickException(f"it became a dead letter; see: kvitto explain {delivery['receipt']}")


def _next_steps(provider: str, topic: str, timeout: float, secrets: str | None) -> str:
    restart = f"  {secrets:<28}was ingest restarted since the secret was added?\n" if secrets else ""
    return (
        f"no {topic} of {provider} in Postgres after {timeout:.0f} s. Check, in this order:\n"
        f"{restart}"
        f"  kvitto subscriptions list   is it registered, and for the address of this service?\n"
        f"  the log of ingest           is it rejected (401: another token or secret), or does nothing arrive?\n"
        f"  kvitto audit                is it in flight, waiting for a worker?"
    )
