"""`kvitto subscriptions`: has providers deliver to us, by their APIs."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from app.cli.output import print_rows, say
from app.cli.provider_session import asking, known_provider, tell_switched_off
from app.cli.secret_output import RESTART, SecretOutput
from app.cli.verify import verify
from app.errors import AlreadyRegisteredError, ProviderCallError
from app.providers import registry
from app.providers.base import ProviderSubscription
from app.storage import subscriptions as kept
from app.storage.connection import session
from app.subscriptions.service import OPEN, Rows, compare
from config.environment import ConfigurationError, Environment
from config.settings import SubscriptionSettings

_COLUMNS = ("provider", "topic", "url", "state", "activated_at", "operator", "reference", "provider_says", "api_url")
_STYLES = {"active": "green", "registered": "green", "pending": "yellow", "deleting": "yellow", "nothing": "red"}
_provider = click.argument("provider", callback=known_provider)


@click.group(epilog="Example: kvitto subscriptions register kompar applications")
def subscriptions() -> None:
    """Have providers deliver to us, by their APIs.

    PROVIDER is the name of a folder in app/providers, TOPIC what it delivers: the kind at one provider, the event type
    at another.
    """


subscriptions.add_command(verify)


@subscriptions.command(
    short_help="Have a topic delivered.",
    epilog="Example: kvitto subscriptions register kompar applications --url https://host/webhooks/kompar/applications",
)
@_provider
@click.argument("topic")
@click.option("--url", help="Where to, by HTTPS. Default: PUBLIC_URL and the edge's own path.")
@click.option("--any-path", is_flag=True, help="Take a --url whose path is not the edge's: a proxy rewrites it.")
@click.option("--replace", is_flag=True, help="Where one is all there may be: remove that first.")
@click.option("--print-secret", is_flag=True, help="Print its secret, if there is one and no file to put it into.")
def register(provider: str, topic: str, url: str | None, any_path: bool, replace: bool, print_secret: bool) -> None:
    """Have a provider deliver a topic to us.

    A secret that comes with it, shown this once, is added to the file that the setting of such secrets names (its
    NAME_FILE); without one it is printed.
    """
    with asking(provider, topic, f"asking {provider}") as asked:
        address = asked.address(url, any_path)
        if replace and not asked.api.exclusive:
            told = f"{provider} keeps several of a topic: register it, verify, then remove the former by its --id"
            raise click.UsageError(told)
        place = SecretOutput(asked.api.secrets, print_secret, asked.status.stop)
        if topic not in asked.api.described:
            known = ", ".join(sorted(asked.api.described))
            click.echo(f"no schema for {topic}: kept whole, flagged no-schema; there is one for {known}", err=True)
        try:
            asked.subscriber.register(topic, address, replace, place.keep)
        except AlreadyRegisteredError as error:
            mend = "Replace it with --replace, or leave it"
            raise click.ClickException(f"{error.detail}. {mend}.") from error
    say(f"{provider} delivers {topic} to {address} from now on", "green")
    restart = f"{RESTART}, so that they know it; then " if place.used else ""
    click.echo(f"next: {restart}kvitto subscriptions verify {provider} {topic}")


@subscriptions.command(
    short_help="Have a topic delivered no more.", epilog="Example: kvitto subscriptions remove kompar applications"
)
@_provider
@click.argument("topic")
@click.option("--url", help="The one that delivers there.")
@click.option("--id", "reference", help="The one with this id of the provider's.")
def remove(provider: str, topic: str, url: str | None, reference: str | None) -> None:
    """Have a provider deliver a topic no more."""
    with asking(provider, topic, f"asking {provider}") as asked:
        rows = kept.select(asked.connection, provider, topic)
        gone = asked.subscriber.remove(topic, url, reference)
        setting = asked.api.secrets
    say(f"{provider} delivers {topic}{f' to {gone.url}' if gone.url else ''} no more", "green")
    if setting:
        click.echo(f"next: {_expendable(setting, gone, rows)}; {RESTART}")


def _expendable(setting: str, gone: ProviderSubscription, rows: Rows) -> str:
    """Say which secret may go, of those that stand in a setting in the order in which they came."""
    alive = [row for row in rows if row["state"] in OPEN]
    if not [row for row in alive if row["reference"] != gone.reference]:
        return f"every value of {gone.topic} in {setting} may go, if no other subscription uses it"
    since = next((row["activated_at"] for row in alive if row["reference"] == gone.reference), None)
    which = f"that came at {since:%Y-%m-%d %H:%M} UTC" if since else "of that subscription"
    return f"the value of {gone.topic} in {setting} {which} may go, and no other"


@subscriptions.command("list", epilog="Example: kvitto subscriptions list --json")
@click.option("--all", "every", is_flag=True, help="Those deleted or failed too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(every: bool, as_json: bool) -> None:
    """List what was registered, beside what providers say of it. Exit 1 if one differs or did not answer.

    `pending` and `deleting` are in doubt: the answer was lost, or the command ended before it came. What is deleting is
    removed again. What is pending is registered with --replace where a provider keeps one of a topic, as Kompar
    does; elsewhere it is removed, then registered again: its secret was lost with the answer.
    """
    settings = SubscriptionSettings.load()
    with session(settings.database_url, "subscriptions") as connection:
        known = kept.select(connection)
    known = known if every else [row for row in known if row["state"] in OPEN]
    names = sorted({*settings.providers, *(row["provider"] for row in known)})
    failures: list[ProviderCallError] = []
    rows = [row for name in names for row in _beside(name, [row for row in known if row["provider"] == name], failures)]
    print_rows(rows, _COLUMNS, as_json, empty="no subscriptions", styles=_STYLES)
    if differing := [row for row in rows if row["differs"]]:
        click.echo(f"{len(differing)} differ from what the provider says; remove and register them again", err=True)
    _tell_doubts(rows)
    raise SystemExit(1 if differing or failures else 0)


def _tell_doubts(rows: Rows) -> None:
    """Say how to settle what is in doubt."""
    states = {row["state"] for row in rows}
    if "pending" in states:
        mend = "`register --replace` where one is all there may be, else `remove`, then `register`"
        click.echo(f"pending: it is not known whether it is registered; {mend}", err=True)
    if "deleting" in states:
        click.echo("deleting: it is not known whether it was removed; repeat `remove`", err=True)


def _beside(name: str, known: Rows, failures: list[ProviderCallError]) -> Iterator[dict[str, Any]]:
    """Yield a provider's rows beside what it says; whoever cannot be asked is told."""
    environment = Environment.of_process()
    api = registry.load_subscriptions(name, environment, lambda text: say(text, "yellow", stderr=True))
    try:
        if api:
            tell_switched_off(api)
        environment.check()
        if api is None:
            listed = None
        else:
            with closing(api):
                listed = api.listed()
    except ConfigurationError as error:
        click.echo(f"{name} is not asked: {error.faults[0]}", err=True)
        listed = None
    except ProviderCallError as error:
        click.echo(f"{name} is not asked: {error}", err=True)
        failures.append(error)
        listed = None
    yield from compare(known, name, api.url if api else "", listed)
