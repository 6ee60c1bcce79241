"""Takes one request in: authenticated, sealed, durable, answered with its receipt."""

import threading
import time
from collections.abc import Callable
from uuid import UUID

from redis import Redis
from uuid_utils.compat import uuid7

from app import metrics
from app.crypto.sealing import SealingKeys
from app.delivery import Delivery
from app.errors import Refused, Unavailable
from app.inbox import Inbox, durability_faults
from app.providers import Authentication, Request

# How long a look at the server's settings is relied on.
_TRUSTED_SECONDS = 10.0


class Durability:
    """Knows whether the inbox server still fsyncs before it replies; looks again every few seconds."""

    def __init__(self, redis: Redis, loss_accepted: bool) -> None:
        self._redis = redis
        self._trusted_until = float("inf") if loss_accepted else 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise Unavailable unless a reply proves that a write is on disk."""
        if time.monotonic() < self._trusted_until:
            return
        with self._lock:
            if time.monotonic() < self._trusted_until:
                return
            faults = durability_faults(self._redis)
            if faults:
                raise Unavailable("redis-not-durable", "; ".join(fault.name for fault in faults))
            self._trusted_until = time.monotonic() + _TRUSTED_SECONDS


class Door:
    """One provider's way in."""

    def __init__(
        self,
        authentication: Authentication,
        inbox: Inbox,
        seals: SealingKeys,
        durability: Durability,
        ring: Callable[[], None],
    ) -> None:
        self._authentication = authentication
        self._inbox = inbox
        self._seals = seals
        self._durability = durability
        self._ring = ring

    def leads_to(self, topic: str | None) -> bool:
        """Tell whether the URL's topic is one of the provider's."""
        return topic in self._authentication.topics

    def receive(self, request: Request) -> UUID | None:
        """Return the receipt of a durable delivery, or None for a handshake.

        Raises:
            Refused: The request is not authentic.
            Unavailable: It could not be proven that the delivery is on disk.
        """
        provider = self._inbox.provider
        try:
            authentic = self._authentication.authenticate(request)
        except Refused as error:
            metrics.REFUSED.labels(provider, error.reason).inc()
            raise
        if authentic is None:
            return None
        self._durability.check()
        receipt = uuid7()
        sealed = self._seals.seal(receipt, request.body)
        headers = {name: value for name in self._authentication.kept_headers if (value := request.header(name))}
        if self._inbox.append(Delivery(receipt, provider, authentic.topic, headers, sealed)):
            self._ring()
        metrics.ACCEPTED.labels(provider).inc()
        return receipt
