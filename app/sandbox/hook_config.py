"""Who sends to whom: hooks at a receiver, with the secrets that it was given."""

import ssl
from collections.abc import Collection, Iterator

import click
import httpx

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox import failures
from app.sandbox.hooks import Hook
from app.sandbox.kompar import KomparHook
from app.sandbox.solaris import SolarisHook
from app.tls import LOOPBACK_DIRECT, trusting
from config.environment import Environment
from config.settings import trusted_authority

KOMPAR_TOPICS = frozenset({"applications", "decisions"})
# By provider, what its deliveries are believed for, and the setting that it is from.
_CREDENTIALS = {"kompar": "token in KOMPAR_TOKENS", "solaris": "secret in SOLARIS_SECRETS"}


def hooks(environment: Environment, url: str, event_types: Collection[str]) -> dict[str, Hook]:
    """Return hooks by event type; raises ConfigurationError with all that is wrong with the secrets."""
    wanted = set(event_types)
    found = [*_kompar(environment, url, wanted & KOMPAR_TOPICS), *_solaris(environment, url, wanted - KOMPAR_TOPICS)]
    environment.check()
    return {hook.topic: hook for hook in found}


def kompar_secrets(environment: Environment) -> tuple[str, str] | None:
    """Return the token and the key that Kompar's deliveries carry; what is wrong with them is noted."""
    keys, tokens = environment.labelled_secrets("KOMPAR_KEYS"), environment.secrets("KOMPAR_TOKENS")
    if any(len(key.encode()) != 32 for _, key in keys):
        environment.fault("KOMPAR_KEYS", "holds a key that is not 32 characters long", "Give what the receiver has")
    return (tokens[0], keys[0][1]) if keys and tokens else None


def _kompar(environment: Environment, url: str, topics: Collection[str]) -> Iterator[Hook]:
    if topics and (secrets := kompar_secrets(environment)):
        yield from (KomparHook(f"{url}/webhooks/kompar/{topic}", topic, *secrets) for topic in topics)


def _solaris(environment: Environment, url: str, event_types: Collection[str]) -> Iterator[Hook]:
    if not event_types:
        return
    known = dict(environment.labelled_secrets("SOLARIS_SECRETS"))
    for event_type in sorted(event_types):
        if event_type in known:
            subscription = f"sandbox-{event_type.lower()}"
            yield SolarisHook(f"{url}/webhooks/solaris", event_type, subscription, known[event_type])
        else:
            environment.fault("SOLARIS_SECRETS", f"lacks {event_type}", f"Add {event_type}=SECRET")


class CredentialDoubt:
    """Is told of tries; of the first that is refused and should not be, tells the mend: once for each provider."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, each: DeliveryAttempt) -> None:
        """Look at a try."""
        if each.status == 401 and each.becomes and each.provider not in self._told:
            self._told.add(each.provider)
            click.echo(f"401: the receiver does not know the {_CREDENTIALS[each.provider]}; give what it has", err=True)


def trust() -> ssl.SSLContext:
    """Return whose certificates a receiver may have: CA_FILE's too, as with `kvitto up --https`."""
    environment = Environment.of_process()
    authority = trusted_authority(environment)
    environment.check()
    return trusting(authority)


def receiver(url: str | None) -> str:
    """Return the receiver's address, once it answers."""
    if url is None:
        raise click.ClickException("nothing to send to: start `kvitto up`, or name the receiver with --url")
    try:
        with httpx.Client(timeout=5, verify=trust(), mounts=LOOPBACK_DIRECT) as client:
            client.get(f"{url}/livez")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(_unreached(url, error)) from error
    return url


def _unreached(url: str, error: Exception) -> str:
    causes = list(failures.causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return f"{url} answers: {failures.why(error)}; name who signed it with CA_FILE"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return f"{url} answers, but not by HTTPS: write http://{url.partition('://')[2]}"
    return f"nothing answers at {url}: start `kvitto up`, or correct --url"
