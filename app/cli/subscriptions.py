"""`kvitto subscriptions`: registers with providers, through their APIs, where they deliver."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import click

from app.cli import param_types
from app.cli.operator_name import operator_option, require_operator
from app.cli.output import print_line, print_rows
from app.cli.provider_session import open_session, report_disabled_sandbox
from app.cli.shared_options import json_option, known_provider
from app.errors import AlreadyRegisteredError, ProviderCallError
from app.providers import registry
from app.providers.base import ProviderSubscription, SubscriptionApi, TriggerUnsupportedError
from app.storage import reports
from app.storage import subscriptions as stored
from app.storage.connection import session
from app.subscriptions.service import OPEN, KnownSubscriptionError, Rows, SubscriptionService, compare
from config.environment import ConfigurationError, Environment
from config.settings import SubscriptionSettings

_COLUMNS = ("provider", "topic", "url", "state", "activated_at", "reference", "provider_says", "api_url")
_FOREIGN_COLUMNS = ("provider", "topic", "url", "reference", "api_url")
_STYLES = {"active": "green", "registered": "green", "pending": "yellow", "deleting": "yellow", "nothing": "red"}
# What to do about a row whose answer was lost, by what the provider says.
_PENDING = {
    "-": "it is not known whether it is registered; `register --replace` where the provider keeps one, else `remove`, "
    "then `register`",
    "nothing": "it is not registered; `register` it again",
}
_PENDING_REGISTERED = (
    "it is registered, and its secret was lost with the answer; `remove` it and `register` again, or `adopt` it if you "
    "have the secret"
)
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
@operator_option
def register(
    provider: str,
    topic: str,
    url: str | None,
    allow_any_path: bool,
    replace: bool,
    print_secret: bool,
    operator: str | None,
) -> None:
    """Have a provider deliver a topic to this service.

    Some providers show a secret with it, once. The secret is added to the file that NAME_FILE of its setting names,
    or printed if there is no such file.
    """
    operator = require_operator(operator)
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
            subscription = opened.service(operator).register(topic, address, replace, save_secret)
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
@operator_option
def remove(provider: str, topic: str, url: str | None, reference: str | None, operator: str | None) -> None:
    """Have a provider stop delivering a topic."""
    operator = require_operator(operator)
    with open_session(provider, topic, f"calling {provider}") as opened:
        rows = stored.select(opened.connection, provider, topic)
        removed = opened.service(operator).remove(topic, url, reference)
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

    Subscriptions that only the provider knows come last, without a state. They do not differ: other programs may have
    made them. `adopt` records one here.
    """
    settings = SubscriptionSettings.load()
    with session(settings.database_url, "subscriptions") as connection:
        known = stored.select(connection)
    rows: Rows = []
    failures: list[ProviderCallError] = []
    unlisted: list[str] = []
    for name in sorted({*settings.providers, *(row["provider"] for row in known if row["state"] in OPEN)}):
        api, listed = _ask(name, failures)
        if listed is None:
            unlisted.append(name)
        rows += compare([row for row in known if row["provider"] == name], name, api.url if api else "", listed)
    rows = [row for row in rows if include_closed or row["differs"] or row["state"] in (None, *OPEN)]
    _print_subscriptions(rows, as_json, unlisted)
    for advice in dict.fromkeys(filter(None, map(_advice, rows))):
        click.echo(advice, err=True)
    raise SystemExit(1 if failures or any(row["differs"] for row in rows) else 0)


def _print_subscriptions(rows: Rows, as_json: bool, unlisted: list[str]) -> None:
    """Print the rows; as a table those that were made by other means apart, with how to record one here."""
    if as_json:
        print_rows(rows, (), as_json, empty="")
        return
    unknown = f"nothing is recorded here; what is registered with {' and '.join(unlisted)} is not known"
    ours = [row for row in rows if row["state"]]
    if ours or len(rows) == len(ours):
        print_rows(ours, _COLUMNS, as_json, empty=unknown if unlisted else "no subscriptions", styles=_STYLES)
    if foreign := [row for row in rows if not row["state"]]:
        click.echo("\nMade by other means; to record one here: kvitto subscriptions adopt REFERENCE")
        print_rows(foreign, _FOREIGN_COLUMNS, as_json, empty="")


def _advice(row: Mapping[str, Any]) -> str | None:
    """Return what to do about a row; None if there is nothing to do."""
    match row["state"]:
        case "pending":
            return f"pending: {_PENDING.get(row['provider_says'], _PENDING_REGISTERED)}"
        case "deleting":
            return "deleting: it is not known whether it was removed; repeat `remove`"
        case "deleted" if row["differs"]:
            return "deleted: the provider lists it; repeat `remove` with its --id"
        case "active" if row["differs"]:
            named = f"{row['provider']} {row['topic']} ({row['reference'] or row['url']})"
            return f"{named} differs from what the provider reports; remove it and register it again"
    return None


def _ask(
    name: str, failures: list[ProviderCallError]
) -> tuple[SubscriptionApi | None, Sequence[ProviderSubscription] | None]:
    """Return a provider's API and the subscriptions that it lists, None for what it lacks.

    Print why a provider cannot be asked, and add its failure.
    """
    environment = Environment.of_process()
    api = registry.load_subscriptions(name, environment, lambda text: print_line(text, "yellow", stderr=True))
    try:
        if api:
            report_disabled_sandbox(api)
        environment.check()
        if api:
            with closing(api):
                return api, api.listed()
    except ConfigurationError as error:
        click.echo(f"{name} is not asked: {error.faults[0]}", err=True)
    except ProviderCallError as error:
        click.echo(f"{name} is not asked: {error}", err=True)
        failures.append(error)
    return api, None


@subscriptions.command(
    short_help="Record a subscription that was made by other means.",
    epilog="Example: kvitto subscriptions adopt 2b1c9f4e8a7d4c0f",
)
@click.argument("reference", metavar="ID")
@click.option("--provider", callback=known_provider, help="Whose it is, if several providers list this id.")
@operator_option
def adopt(reference: str, provider: str | None, operator: str | None) -> None:
    """Record a subscription that a provider lists and Kvitto did not make. ID is the provider's, as `list` shows it.

    Nothing changes at the provider. Its secret, if it has one, must be in the provider's setting already.
    """
    operator = require_operator(operator)
    settings = SubscriptionSettings.load()
    asked = {name: _ask(name, []) for name in ([provider] if provider else settings.providers)}
    found = [(name, api, each) for name, (api, listed) in asked.items() for each in listed or () if api]
    found = [(name, api, each) for name, api, each in found if each.reference == reference]
    if not found:
        raise click.ClickException(f"no provider that could be asked lists {reference}; see: kvitto subscriptions list")
    if len(found) > 1:
        raise click.UsageError(f"{' and '.join(name for name, *_ in found)} list {reference}; name one with --provider")
    ((name, api, subscription),) = found
    with session(settings.database_url, "subscriptions") as connection:
        try:
            SubscriptionService(connection, name, api, operator).adopt(subscription)
        except KnownSubscriptionError as error:
            raise click.ClickException(str(error)) from error
    print_line(f"{name}'s {subscription.topic} to {subscription.url} is recorded here", "green")
    if api.secrets:
        click.echo(f"next: {api.secrets} must list its secret, {subscription.topic}=SECRET, or its deliveries get 401")


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
            _trigger(opened.api, topic)
        while (delivery := reports.first_since(opened.connection, provider, topic, since)) is None:
            if time.monotonic() > started + timeout:
                raise click.ClickException(_next_steps(provider, topic, timeout, opened.api.secrets))
            time.sleep(_POLL_SECONDS)
        elapsed = time.monotonic() - started
    row = {"provider": provider, "topic": topic, "seconds": round(elapsed, 2)} | delivery
    print_rows([row], _VERIFIED, as_json, empty="", styles=_VERIFIED_STYLES)
    if delivery["outcome"] == "dead":
        raise click.ClickException(f"it became a dead letter; see: kvitto explain {delivery['receipt']}")


def _trigger(api: SubscriptionApi, topic: str) -> None:
    """Have the provider send a test event; an error says what to do where there is no such call."""
    try:
        api.trigger(topic)
    except (ProviderCallError, TriggerUnsupportedError) as error:
        hint = "Or cause an event, and wait for it with --no-trigger"
        raise click.ClickException(f"{str(error).rstrip('.')}. {hint}.") from error


def _next_steps(provider: str, topic: str, timeout: float, secrets: str | None) -> str:
    restart = f"  {secrets:<28}was ingest restarted since the secret was added?\n" if secrets else ""
    return (
        f"no {topic} of {provider} in Postgres after {timeout:.0f} s. Check, in this order:\n"
        f"{restart}"
        f"  kvitto subscriptions list   is it registered, and for the address of this service?\n"
        f"  the log of ingest           is it rejected (401: another token or secret), or does nothing arrive?\n"
        f"  kvitto audit                is it in flight, waiting for a worker?"
    )
