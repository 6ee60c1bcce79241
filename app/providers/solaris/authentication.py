"""Solaris signs the raw body: `Solaris-Webhook-Signature: sha256=` and its HMAC-SHA256 in hexadecimal.

Every event type has its own subscription and its own secrets. Subscribing causes one unsigned request before the
secret is known, whose body says nothing: the handshake.
"""

import hmac
import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from datetime import timedelta

from app.errors import AuthenticationError
from app.providers.base import AuthenticationResult, IncomingRequest
from config.environment import Environment

EVENT_TYPE = "Solaris-Webhook-Event-Type"
WEBHOOK_ID = "Solaris-Webhook-Id"
ENTITY_ID = "Solaris-Entity-Id"
_SIGNATURE = "Solaris-Webhook-Signature"
_HANDSHAKE = "WEBHOOK-SUBSCRIPTION"
# What senders of the handshake send as its body; it says nothing.
_EMPTY_BODIES = (b"", b"{}", b"[]", b"null", b'""')
_HANDSHAKES_PER_MINUTE = 60


class SolarisAuthentication:
    """Accepts bodies signed with a secret of their event type; rejects event types without a secret."""

    topics: frozenset[str | None] = frozenset({None})
    retried_for = timedelta(days=7)
    kept_headers: tuple[str, ...] = (
        WEBHOOK_ID,
        EVENT_TYPE,
        ENTITY_ID,
        "Solaris-Webhook-Attempt",
        "Solaris-Webhook-Callout-Timestamp",
    )
    rejections = (
        "no-event-type",
        "unconfigured-event-type",
        "no-signature",
        "wrong-signature",
        "too-many-handshakes",
    )

    def __init__(self, secrets: tuple[tuple[str, str], ...], clock: Callable[[], float] = time.monotonic) -> None:
        self._secrets: dict[str, list[bytes]] = defaultdict(list)
        for event_type, secret in secrets:
            self._secrets[event_type].append(secret.encode())
        self.credentials = [
            _credential(position, secrets, event_type)
            for event_type, secrets in self._secrets.items()
            for position in range(len(secrets))
        ]
        self._clock = clock
        self._handshakes: deque[float] = deque(maxlen=_HANDSHAKES_PER_MINUTE)
        self._lock = threading.Lock()

    def authenticate(self, request: IncomingRequest) -> AuthenticationResult | None:
        """Return the event type as the topic, or None for a handshake."""
        event_type = request.header(EVENT_TYPE)
        if event_type.upper() == _HANDSHAKE and b"".join(request.body.split()) in _EMPTY_BODIES:
            self._count_handshake()
            return None
        secrets = self._secrets.get(event_type)
        if secrets is None:
            reason = "unconfigured-event-type" if event_type else "no-event-type"
            raise AuthenticationError(reason, _printable(event_type))
        given = request.header(_SIGNATURE).lower().encode("utf-8", "replace")
        body = request.body
        # Compares every secret, each in constant time, so that the duration reveals nothing.
        matches = [hmac.compare_digest(given, _signature(secret, body)) for secret in secrets]
        if True not in matches:
            raise AuthenticationError("wrong-signature" if given else "no-signature", _printable(event_type))
        credential = _credential(matches.index(True), secrets, event_type)
        return AuthenticationResult(topic=event_type, credential=credential, covers=f"{len(body)} bytes of body")

    def sample_requests(self) -> Iterator[tuple[str | None, dict[str, str], bytes]]:
        """Yield topic, headers and body of a request signed with each secret, as Solaris would send it."""
        for event_type, secrets in self._secrets.items():
            for secret in secrets:
                yield None, {EVENT_TYPE: event_type, _SIGNATURE: _signature(secret, b"{}").decode()}, b"{}"

    def _count_handshake(self) -> None:
        """Limit the handshakes per minute: they are unsigned, so anyone could send them."""
        now = self._clock()
        with self._lock:
            if len(self._handshakes) == self._handshakes.maxlen and now - self._handshakes[0] < 60:
                raise AuthenticationError("too-many-handshakes")
            self._handshakes.append(now)


def _credential(position: int, secrets: list[bytes], event_type: str) -> str:
    return f"secret {position + 1} of {len(secrets)} for {event_type}"


def _signature(secret: bytes, body: bytes) -> bytes:
    return b"sha256=" + hmac.digest(secret, body, "sha256").hex().encode()


def _printable(event_type: str) -> str:
    """Return an event type for the log, empty if it has another form: anyone may have sent it."""
    return event_type if re.fullmatch(r"[A-Z][A-Z0-9_-]{0,80}", event_type) else ""


def read(environment: Environment) -> SolarisAuthentication:
    """Read SOLARIS_SECRETS, `EVENT_TYPE=secret` pairs. A type may occur twice while its secret is replaced."""
    return SolarisAuthentication(environment.labelled_secrets("SOLARIS_SECRETS"))
