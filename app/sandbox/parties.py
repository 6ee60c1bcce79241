"""Who sends to whom: hooks at a receiver, with the secrets that it was given."""

from collections.abc import Mapping

import click
import httpx

from app.sandbox.kompar import KomparHook
from app.sandbox.solaris import SolarisHook
from config.environment import Environment


def kompar_hooks(environment: Environment, url: str) -> Mapping[str, KomparHook]:
    """Return Kompar's hooks by topic; what is wrong with the secrets is noted in `environment`."""
    keys, tokens = environment.labelled_secrets("KOMPAR_KEYS"), environment.secrets("KOMPAR_TOKENS")
    if any(len(key.encode()) != 32 for _, key in keys):
        environment.fault("KOMPAR_KEYS", "holds a key that is not 32 characters long", "Give what the receiver has")
    environment.check()
    return {
        topic: KomparHook(f"{url}/webhooks/kompar/{topic}", topic, tokens[0], keys[0][1])
        for topic in ("applications", "decisions")
    }


def solaris_hooks(environment: Environment, url: str, event_types: set[str]) -> Mapping[str, SolarisHook]:
    """Return Solaris' subscriptions to these event types; a secret that is missing is noted in `environment`."""
    known = dict(environment.labelled_secrets("SOLARIS_SECRETS"))
    for event_type in sorted(event_types - known.keys()):
        environment.fault("SOLARIS_SECRETS", f"lacks {event_type}", f"Add {event_type}=SECRET")
    environment.check()
    return {
        event_type: SolarisHook(f"{url}/webhooks/solaris", event_type, f"sandbox-{event_type.lower()}", secret)
        for event_type, secret in known.items()
        if event_type in event_types
    }


def receiver(url: str | None) -> str:
    """Return the receiver's address, once it answers."""
    if url is None:
        raise click.ClickException("nothing to send to: start `kvitto up`, or name the receiver with --url")
    try:
        httpx.get(f"{url}/livez", timeout=5)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"nothing answers at {url}: start `kvitto up`, or correct --url") from error
    return url
