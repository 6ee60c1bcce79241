"""Hooks at one receiver, with the secrets that the receiver was given."""

import ssl
from collections.abc import Collection

import click
import httpx

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox.hooks import Hook
from app.sandbox.http_attempt import cause_text, find_cause
from app.sandbox.kompar import TOPICS, KomparHook
from app.sandbox.solaris import SolarisHook
from app.tls import LOOPBACK_DIRECT, trusting
from config.environment import Environment
from config.settings import trusted_authority

# By provider: what authenticates its deliveries, and the setting that holds it.
_CREDENTIALS = {"kompar": "token in KOMPAR_TOKENS", "solaris": "secret in SOLARIS_SECRETS"}


def hooks(url: str | None, event_types: Collection[str]) -> dict[str, Hook]:
    """Return hooks by event type, after the receiver answered.

    Raises:
        ConfigurationError: Secrets are missing or invalid; it names every problem.
        ClickException: The receiver does not answer; the text says what to do.
    """
    environment = Environment.of_process()
    by_type: dict[str, Hook] = {}
    kompar_topics = set(TOPICS).intersection(event_types)
    if kompar_topics:
        secrets = kompar_secrets(environment)
        by_type |= {topic: KomparHook(f"{url}/webhooks/kompar/{topic}", topic, *secrets) for topic in kompar_topics}
    solaris_types = sorted(set(event_types) - kompar_topics)
    solaris_secrets = dict(environment.labelled_secrets("SOLARIS_SECRETS")) if solaris_types else {}
    for event_type in solaris_types:
        if event_type not in solaris_secrets:
            environment.fault("SOLARIS_SECRETS", f"lacks {event_type}", f"Add {event_type}=SECRET")
            continue
        subscription = f"sandbox-{event_type.lower()}"
        secret = solaris_secrets[event_type]
        by_type[event_type] = SolarisHook(f"{url}/webhooks/solaris", event_type, subscription, secret)
    environment.check()
    _require_receiver(url)
    return by_type


def kompar_secrets(environment: Environment) -> tuple[str, str]:
    """Return the token and the key of Kompar's deliveries; problems go to `environment`, which the caller checks."""
    keys, tokens = environment.labelled_secrets("KOMPAR_KEYS"), environment.secrets("KOMPAR_TOKENS")
    if any(len(key.encode()) != 32 for _, key in keys):
        environment.fault("KOMPAR_KEYS", "holds a key that is not 32 characters long", "Give what the receiver has")
    return tokens[0] if tokens else "", keys[0][1] if keys else ""


class CredentialHint:
    """Listens to attempts and prints how to fix the first unexpected 401 of each provider."""

    def __init__(self) -> None:
        self._hinted: set[str] = set()

    def __call__(self, attempt: DeliveryAttempt) -> None:
        """Take one attempt."""
        provider = attempt.provider
        if attempt.status == 401 and attempt.becomes and provider not in self._hinted:
            self._hinted.add(provider)
            click.echo(f"401: the receiver does not know the {_CREDENTIALS[provider]}; give what it has", err=True)


def trust() -> ssl.SSLContext:
    """Return which certificates are accepted from a receiver: the system's and CA_FILE, as with `kvitto up --https`."""
    environment = Environment.of_process()
    authority = trusted_authority(environment)
    environment.check()
    return trusting(authority)


def _require_receiver(url: str | None) -> None:
    if url is None:
        raise click.ClickException("nothing to send to: start `kvitto up`, or name the receiver with --url")
    try:
        with httpx.Client(timeout=5, verify=trust(), mounts=LOOPBACK_DIRECT) as client:
            client.get(f"{url}/livez")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if find_cause(error, ssl.SSLCertVerificationError):
            problem = f"{url} answers: {cause_text(error)}; name who signed it with CA_FILE"
        elif find_cause(error, ssl.SSLError):
            problem = f"{url} answers, but not by HTTPS: write http://{url.partition('://')[2]}"
        else:
            problem = f"nothing answers at {url}: start `kvitto up`, or correct --url"
        raise click.ClickException(problem) from error
