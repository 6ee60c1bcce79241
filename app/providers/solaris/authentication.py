"""Solaris signs the raw body: `Solaris-Webhook-Signature: sha256=` and HMAC-SHA256 in hexadecimal.

Every event type is subscribed to by itself and has secrets of its own. When a subscription is made,
one empty, unsigned request arrives before its secret is known: the handshake.
"""

import hmac
import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator

from app.errors import AuthenticationError
from app.providers.base import Authentic, Request
from config.environment import Environment

EVENT_TYPE = "Solaris-Webhook-Event-Type"
WEBHOOK_ID = "Solaris-Webhook-Id"
ENTITY_ID = "Solaris-Entity-Id"
_SIGNATURE = "Solaris-Webhook-Signature"
_HANDSHAKE = "WEBHOOK-SUBSCRIPTION"
_HANDSHAKES_PER_MINUTE = 60


class SolarisAuthentication:
    """Accepts what one of the event type's secrets signed; an event type without a secret is refused."""

    topics: frozenset[str | None] = frozenset({None})
    kept_headers: tuple[str, ...] = (WEBHOOK_ID, EVENT_TYPE, ENTITY_ID, "Solaris-Webhook-Attempt")

    def __init__(self, secrets: tuple[tuple[str, str], ...], clock: Callable[[], float] = time.monotonic) -> None:
        self._secrets: dict[str, list[bytes]] = defaultdict(list)
        for event_type, secret in secrets:
            self._secrets[event_type].append(secret.encode())
        self._handshakes = _Allowance(_HANDSHAKES_PER_MINUTE, clock)

    def authenticate(self, request: Request) -> Authentic | None:
        """Return the event type as the topic, or None for a handshake."""
        event_type = request.header(EVENT_TYPE)
        if event_type == _HANDSHAKE and not request.body:
            self._handshakes.take()
            return None
        secrets = self._secrets.get(event_type)
        if secrets is None:
            raise AuthenticationError(
                "unconfigured-event-type" if event_type else "no-event-type", _printable(event_type)
            )
        given = request.header(_SIGNATURE).lower().encode("utf-8", "replace")
        body = request.body
        # Every secret is tried, each compared in constant time.
        matches = [hmac.compare_digest(given, _signature(secret, body)) for secret in secrets]
        if True not in matches:
            raise AuthenticationError("wrong-signature" if given else "no-signature", _printable(event_type))
        which = f"secret {matches.index(True) + 1} of {len(secrets)} for {event_type}"
        return Authentic(topic=event_type, by=which, signed=f"{len(body)} bytes of body")

    def sample_requests(self) -> Iterator[tuple[str | None, dict[str, str], bytes]]:
        """Yield topic, headers and body of a request signed with each secret, as Solaris would send it."""
        for event_type, secrets in self._secrets.items():
            for secret in secrets:
                yield None, {EVENT_TYPE: event_type, _SIGNATURE: _signature(secret, b"{}").decode()}, b"{}"


class _Allowance:
    """So many in any minute; handshakes are unsigned, and anyone could send them."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._taken: deque[float] = deque(maxlen=per_minute)
        self._lock = threading.Lock()

    def take(self) -> None:
        """Take one; raises AuthenticationError when the last minute's are used up."""
        now = self._clock()
        with self._lock:
            if len(self._taken) == self._taken.maxlen and now - self._taken[0] < 60:
                raise AuthenticationError("too-many-handshakes")
            self._taken.append(now)


def _signature(secret: bytes, body: bytes) -> bytes:
    return b"sha256=" + hmac.digest(secret, body, "sha256").hex().encode()


def _printable(event_type: str) -> str:
    """Return an event type fit for a log; anyone may have sent it."""
    return event_type if re.fullmatch(r"[A-Z][A-Z_-]{0,80}", event_type) else ""


def read(environment: Environment) -> SolarisAuthentication:
    """Read SOLARIS_SECRETS, `EVENT_TYPE=secret` pairs; a type may come twice while its secret is replaced."""
    return SolarisAuthentication(environment.labelled_secrets("SOLARIS_SECRETS"))
