"""What the commands that send need: hooks at one receiver, and a dispatcher whose attempts are summed up."""

import ssl
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import httpx

from app.audit.attempt_log import AttemptLog, DeliveryAttempt
from app.sandbox.dispatcher import Dispatcher
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
        subscription, secret = f"sandbox-{event_type.lower()}", solaris_secrets.get(event_type, "")
        by_type[event_type] = SolarisHook(f"{url}/webhooks/solaris", event_type, subscription, secret)
    environment.check()
    _require_receiver(url)
    return by_type


def kompar_secrets(environment: Environment) -> tuple[str, str]:
    """Return the token and the key of Kompar's deliveries; problems go to `environment`, which the caller checks."""
    tokens = environment.secrets("KOMPAR_TOKENS")
    keys = environment.labelled_secrets("KOMPAR_KEYS", min_length=0)  # the length is fixed
    if any(len(key.encode()) != 32 for _, key in keys):
        environment.fault("KOMPAR_KEYS", "holds a key that is not 32 characters long", "Give what the receiver has")
    return tokens[0] if tokens else "", keys[0][1] if keys else ""


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


@dataclass(slots=True)
class Summary:
    """How many attempts there were, how they were answered, and how fast."""

    statuses: Counter[int] = field(default_factory=Counter)
    retried: int = 0
    seconds: list[float] = field(default_factory=list)
    _faulty_events: set[tuple[str, str]] = field(default_factory=set)

    def add(self, attempt: DeliveryAttempt) -> None:
        """Count an attempt."""
        self.statuses[attempt.status] += 1
        self.retried += attempt.attempt > 1
        if attempt.fault is not None:
            self._faulty_events.add((attempt.fault, attempt.event))
        if attempt.status:
            self.seconds.append(attempt.seconds)

    @property
    def faults(self) -> Counter[str]:
        """How many events had each fault."""
        return Counter(fault for fault, _ in self._faulty_events)

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        return self.statuses.total()

    def milliseconds(self) -> dict[str, float]:
        """Return how long answers took: median, two percentiles, and the slowest."""
        if not self.seconds:
            return {}
        sample = self.seconds if len(self.seconds) > 1 else self.seconds * 2
        cuts = statistics.quantiles(sample, n=100, method="inclusive")
        shares = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "slowest": max(self.seconds)}
        return {name: round(seconds * 1000, 1) for name, seconds in shares.items()}

    def line(self) -> str:
        """Return the counts in one line."""
        counts = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(self.statuses.items()))
        return f"{self.attempts} tries: {counts or 'none'}"


@contextmanager
def dispatching(
    speed: float, record: Path | None, concurrency: int = 64, on_failure: Callable[[str], None] | None = None
) -> Iterator[tuple[Dispatcher, Summary]]:
    """Yield a dispatcher, and the summary of its attempts; with a path, they are recorded in that file too.

    The first 401 of each provider that no fault explains is printed, with how to fix it.
    """
    summary, hinted = Summary(), set[str]()

    def take(attempt: DeliveryAttempt) -> None:
        summary.add(attempt)
        if log:
            log.add(attempt)
        if attempt.status == 401 and attempt.becomes and attempt.provider not in hinted:
            hinted.add(attempt.provider)
            credential = _CREDENTIALS[attempt.provider]
            click.echo(f"401: the receiver does not know the {credential}; give what it has", err=True)

    with (
        closing(AttemptLog(record)) if record else nullcontext() as log,
        Dispatcher(take, speed, trust(), concurrency, on_failure=on_failure) as dispatcher,
    ):
        yield dispatcher, summary


def print_failure(line: str) -> None:
    """Write a line to standard error; deliveries go on even if nothing reads it."""
    with suppress(OSError):
        click.echo(line, err=True)
