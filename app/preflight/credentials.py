"""Checks that ingest would accept a request with each of its providers' credentials."""

from collections.abc import Iterator
from email.message import Message
from typing import Protocol, runtime_checkable

from app.errors import AuthenticationError
from app.preflight.environment import Configuration
from app.processing.saved_request import SavedRequest
from app.providers import registry
from config.checks.result import CheckResult, fault, ok
from config.environment import Environment

_HINT = "Use credentials of ASCII characters, or ask the provider for others: HTTP headers carry nothing else"


@runtime_checkable
class _Samples(Protocol):
    """An authentication that can make the requests that it must accept; a provider's folder may do without."""

    def sample_requests(self) -> Iterator[tuple[str | None, dict[str, str], bytes]]:
        """Yield topic, headers and body of one request per credential."""


def check_credentials(configuration: Configuration) -> Iterator[CheckResult]:
    """Yield one result for each provider of ingest whose secrets are readable."""
    providers = configuration.get("providers") if "ingest" in configuration.processes else ()
    for provider in providers:
        environment = Environment(configuration.variables)
        authentication = registry.load_authentication(provider, environment)
        if authentication is None or environment.faults or not isinstance(authentication, _Samples):
            continue
        reasons = []
        for position, (topic, headers, body) in enumerate(authentication.sample_requests(), start=1):
            try:
                authentication.authenticate(_received(provider, topic, headers, body))
            except AuthenticationError as error:
                reasons.append(f"a request with credential {position} is rejected: {error.reason}")
        name = f"{provider} credentials"
        yield fault(name, "; ".join(reasons), _HINT) if reasons else ok(name, "requests with each are accepted")


def _received(provider: str, topic: str | None, headers: dict[str, str], body: bytes) -> SavedRequest:
    """Return a request as ingest receives it: WSGI decodes the bytes of headers as Latin-1."""
    message = Message()
    for name, value in headers.items():
        message[name] = value.encode().decode("latin-1")
    return SavedRequest(provider, topic, message, body)
