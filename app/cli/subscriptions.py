"""`kvitto subscriptions`: registers with providers, through their APIs, where they deliver."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from app.cli import param_types
from app.cli.output import print_line, print_rows
from app.cli.provider_session import open_session, report_disabled_sandbox
from app.cli.shared_options import json_option, known_provider
from app.errors import AlreadyRegisteredError, ProviderCallError
from app.providers import registry
from app.providers.base import ProviderSubscription
from app.storage import reports
from app.storage import subscriptions as stored
from app.storage.connection import session
from app.subscriptions.service import OPEN, Rows, compare
from config.environment import ConfigurationError, Environment
from config.settings import SubscriptionSettings

_COLUMNS = ("provider", "topic", "url", "state", "activated_at", "operator", "reference", "provider_says", "api_url")
_STYLES = {"active": "green", "registered": "green", "pending": "yellow", "deleting": "yellow", "nothing": "red"}
_VERIFIED = ("provider", "topic", "receipt", "outcome", "reason", "seconds")
_VERIFIED_STYLES = {"stored": "green", "duplicate": "green", "dead": "bold red"}
_RESTART = "restart the ingest processes, one after the other (under `kvitto up`: Ctrl-C, then up again)"
_POLL_SECONDS = 0.2
_provider = click.argument("provider", callback=known_provider)


@click.group(epilog="Example: kvitto subscriptions register kompar applications")
def subscriptions() -> None:
    """Register with providers where they deliver.

    PROVIDER is the name of a folder in app/providers. TOPIC is what it delivers: Kompar's kind, Solaris' event type.
    """


@subscriptions.command(
    short_help="Register a topic for delivery.",
    epilog="Example: kvitto subscriptions register kompar applications --url https://host/webhooks/kompar/applications",
)
@_provider
@click.argument("topic")
@click.option("--url", help="HTTPS address to deliver to. Default: PUBLIC_URL and the path of ingest.")
@click.option("--allow-any-path", is_flag=True, help="Accept a --url with another path: a proxy rewrites it.")
@click.option("--replace", is_flag=True, help="Remove the current one first, if the provider allows only one a topic.")
@click.option("--print-secret", is_flag=True, help="Print the subscription's secret if no file can take it.")
def register(
    provider: str, topic: str, url: str | None, allow_any_path: bool, replace: bool, print_secret: bool
) -> None:
    """Have a provider deliver a topic to this service.

    Some providers show a secret with it, once. The secret is added to the file that NAME_FILE of its setting names,
    or printed if there is no such file.
    """
    with open_session(provider, topic, f"calling {provider}") as opened:
        api, address = opened.api, opened.delivery_url(url, allow_any_path)
        if replace and not api.exclusive:
            hint = "register the new one, verify it, then remove the former by its --id"
            raise click.UsageError(f"{provider} keeps several subscriptions of a topic: {hint}")
        save_secret = opened.secret_saver(print_secret)
        if topic not in api.described:
            known = ", ".join(sorted(api.described))
            click.echo(f"no schema for {topic}: kept whole, flagged no-schema; there is one for {known}", err=True)
        try:
            subscription = opened.service.register(topic, address, replace, save_secret)
        except AlreadyRegisteredError as error:
            raise click.ClickException(f"{error.detail}. Replace it with --replace, or leave it.") from error
    print_line(f"{provider} delivers {topic} to {address} from now on", "green")
    restart = "" if subscription.secret is None else f"{_RESTART}, so that they read it; then "
    click.echo(f"next: {restart}kvitto subscriptions verify {provider} {topic}")


@subscriptions.command(
    short_help="End the delivery of a topic.", epilog="Example: kvitto subscriptions remove kompar applications"
)
@_provider
@click.argument("topic")
@click.option("--url", help="Remove the one that delivers to this address.")
@click.option("--id", "reference", help="Remove the one with this id, as the provider calls it.")
def remove(provider: str, topic: str, url: str | None, reference: str | None) -> None:
    """Have a provider stop delivering a topic."""
    with open_session(provider, topic, f"calling {provider}") as opened:
        rows = stored.select(opened.connection, provider, topic)
        removed = opened.service.remove(topic, url, reference)
        setting = opened.api.secrets
    print_line(f"{provider} delivers {topic}{f' to {removed.url}' if removed.url else ''} no more", "green")
    if setting:
        click.echo(f"next: {_obsolete_secret(setting, removed, rows)}; {_RESTART}")


def _obsolete_secret(setting: str, removed: ProviderSubscription, rows: Rows) -> str:
    """Return a sentence that names the secret to delete; a setting lists secrets in the order of registration."""
    active = [row for row in rows if row["state"] in OPEN]
    if all(row["reference"] == removed.reference for row in active):
        return f"every value of {removed.topic} in {setting} may go, if no other subscription uses it"
    activated_at = next((row["activated_at"] for row in active if row["reference"] == removed.reference), None)
    which = f"that came at {activated_at:%Y-%m-%d %H:%M} UTC" if activated_at else "of that subscription"
    return f"the value of {removed.topic} in {setting} {which} may go, and no other"


@subscriptions.command("list", epilog="Example: kvitto subscriptions list --json")
@click.option("--all", "include_closed", is_flag=True, help="Include deleted and failed ones.")
@json_option
def list_(include_closed: bool, as_json: bool) -> None:
    """List registered subscriptions and what providers report. Exit 1 if one differs or a provider did not answer.

    `pending` and `deleting` mean that the provider's answer was lost, or that the command ended before it came. Repeat
    `remove` for `deleting`. For `pending`, use `register --replace` where a provider keeps one of a topic, as Kompar
    does; elsewhere `remove`, then `register`: the secret was lost with the answer.
    """
    settings = SubscriptionSettings.load()
    with session(settings.database_url, "subscriptions") as connection:
        known = [row for row in stored.select(connection) if include_closed or row["state"] in OPEN]
    names = sorted({*settings.providers, *(row["provider"] for row in known)})
    failures: list[ProviderCallError] = []
    rows = [row for name in names for row in _compared(name, known, failures)]
    print_rows(rows, _COLUMNS, as_json, empty="no subscriptions", styles=_STYLES)
    differing = [row for row in rows if row["differs"]]
    if differing:
        click.echo(f"{len(differing)} differ from what the provider reports; remove and register them again", err=True)
    states = {row["state"] for row in rows}
    if "pending" in states:
        hint = "`register --replace` where the provider keeps one, else `remove`, then `register`"
        click.echo(f"pending: it is not known whether it is registered; {hint}", err=True)
    if "deleting" in states:
        click.echo("deleting: it is not known whether it was removed; repeat `remove`", err=True)
    raise SystemExit(1 if differing or failures else 0)


def _compared(name: str, known: Rows, failures: list[ProviderCallError]) -> Iterator[dict[str, Any]]:
    """Yield one provider's rows with what it reports; print why it cannot be asked, and add its failure."""
    environment = Environment.of_process()
    api = registry.load_subscriptions(name, environment, lambda text: print_line(text, "yellow", stderr=True))
    listed = None
    try:
        if api:
            report_disabled_sandbox(api)
        environment.check()
        if api:
            with closing(api):
                listed = api.listed()
    except ConfigurationError as error:
        click.echo(f"{name} is not asked: {error.faults[0]}", err=True)
    except ProviderCallError as error:
        click.echo(f"{name} is not asked: {error}", err=True)
        failures.append(error)
    yield from compare([row for row in known if row["provider"] == name], name, api.url if api else "", listed)


@subscriptions.command(
    short_help="Have a test event sent and wait for its row.",
    epilog="Example: kvitto subscriptions verify kompar applications --timeout 30s",
)
@_provider
@click.argument("topic")
@click.option("--timeout", type=param_types.duration, default="60s", help="How long to wait for the event.")
@click.option("--no-trigger", is_flag=True, help="Do not request a test event; wait for the next event that arrives.")
@json_option
def verify(provider: str, topic: str, timeout: float, no_trigger: bool, as_json: bool) -> None:
    """Have the provider's test environment, or the sandbox, send an event; wait until its row is in Postgres.

    Exit 1 if none arrives in time, or if it becomes a dead letter.
    """
    with open_session(provider, topic, f"waiting for {topic} of {provider}") as opened:
        since = stored.clock(opened.connection)
        started = time.monotonic()
        if not no_trigger:
            opened.api.trigger(topic)
        while (delivery := reports.first_since(opened.connection, provider, topic, since)) is None:
            if time.monotonic() > started + timeout:
                raise click.ClickException(_next_steps(provider, topic, timeout, opened.api.secrets))
            time.sleep(_POLL_SECONDS)
        elapsed = time.monotonic() - started
    row = {"provider": provider, "topic": topic, "seconds": round(elapsed, 2)} | delivery
    print_rows([row], _VERIFIED, as_json, empty="", styles=_VERIFIED_STYLES)
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
