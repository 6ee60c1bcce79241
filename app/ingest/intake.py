"""Takes one request in: authenticated, sealed, durable, answered with its receipt."""

import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from redis import Redis
from uuid_utils.compat import uuid7

from app import metrics
from app.crypto.sealing import SealingKeys
from app.delivery import Delivery
from app.errors import Refused, Unavailable
from app.inbox import Inbox
from app.inbox.server import durability_faults
from app.providers import Authentication, Request

# How long a look at the server's settings is relied on.
_TRUSTED_SECONDS = 10.0
_DOUBTED_SECONDS = 1.0


class Durability:
    """Knows whether the inbox server still fsyncs before it replies; looks again every few seconds."""

    def __init__(self, redis: Redis, inboxes: Sequence[Inbox], loss_accepted: bool) -> None:
        self._redis = redis
        self._inboxes = inboxes
        self._loss_accepted = loss_accepted
        self._verdict: Unavailable | None = None
        self._valid_until = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise Unavailable unless a reply proves that a write is on disk."""
        with self._lock:  # one looks, the others wait for its verdict: a server that hangs is asked once
            if time.monotonic() > self._valid_until:
                self._verdict = self._look()
                self._valid_until = time.monotonic() + (_TRUSTED_SECONDS if self._verdict is None else _DOUBTED_SECONDS)
            verdict = self._verdict
        if verdict is not None:
            raise Unavailable(verdict.reason, verdict.detail)

    def _look(self) -> Unavailable | None:
        try:
            faults = [] if self._loss_accepted else durability_faults(self._redis)
            for inbox in self._inboxes:
                inbox.open()  # while there is room: on a full server workers could not, and nothing would drain
        except Unavailable as error:
            return error
        if faults:
            return Unavailable("redis-not-durable", "; ".join(fault.name for fault in faults))
        return None


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
