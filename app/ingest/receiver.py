"""Receivers: each authenticates a request, seals its body, stores it durably and returns its receipt."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from uuid_utils.compat import uuid7

from app import metrics
from app.crypto.sealing import SealingKeys
from app.domain import canary
from app.domain.delivery import Delivery
from app.errors import AuthenticationError, NotReceivedError, StoreUnavailableError
from app.ingest.durable_store import DurableStore
from app.providers.base import Authentication, AuthenticationResult, IncomingRequest, kept_headers
from app.tracing.tracer import Trace, Tracer

# Checking the signature of a larger body, and sealing it, would keep all other requests waiting for too long.
_QUICK_BYTES = 64 * 1024
T = TypeVar("T")


class DeliveryReceiver:
    """Accepts the requests that a provider's authentication confirms; `topics` is what its URLs name.

    Authentication and keys may be replaced at any time.
    """

    def __init__(
        self,
        authentication: Authentication,
        keys: SealingKeys,
        store: DurableStore,
        tracer: Tracer,
        on_answer: Callable[[UUID, float, bool], None],
    ) -> None:
        """`on_answer` gets each receipt, the seconds until its answer ended, and whether the sender still listened."""
        self.answered = on_answer
        self.topics = authentication.topics
        self.retried_for: timedelta | None = authentication.retried_for
        self._provider = store.provider
        self.authentication = authentication
        self.keys = keys
        self._store = store
        self._tracer = tracer
        self._duration = metrics.WEBHOOK_DURATION.labels(store.provider)
        self._accepted = metrics.WEBHOOK_REQUESTS.labels(store.provider, "200", "accepted")

    def authenticate(self, request: IncomingRequest) -> AuthenticationResult | None:
        """Return what the provider's authentication confirms, None for a handshake; raises AuthenticationError."""
        return self.authentication.authenticate(request)

    async def receive(self, request: IncomingRequest, authentic: AuthenticationResult | None = None) -> UUID | None:
        """Store a delivery durably and return its receipt; None for a handshake, which is not stored.

        `authentic` is what its headers have shown already; without it the request is authenticated.

        Raises:
            AuthenticationError: The request is not authentic.
            NotReceivedError: Its body is empty.
            StoreUnavailableError: No store confirmed that the delivery is on disk.
        """
        with self._duration.time(), self._tracer.receive(self._provider, request.header("traceparent")) as trace:
            delivery = await _prepare(request, partial(self._seal, request, authentic, trace))
            if delivery is None:
                metrics.WEBHOOK_REQUESTS.labels(self._provider, "200", "handshake").inc()
                return None
            try:
                with trace.sending(delivery.receipt):
                    await self._store.store(delivery)
            except StoreUnavailableError as error:
                error.receipt = delivery.receipt  # a store may hold it nevertheless
                raise
        self._accepted.inc()
        return delivery.receipt

    def _seal(self, request: IncomingRequest, authentic: AuthenticationResult | None, trace: Trace) -> Delivery | None:
        authentic = authentic or self.authenticate(request)
        if authentic is None:
            return None
        if not request.body:  # a proxy may have dropped it; nothing was received that could be kept
            raise NotReceivedError("empty-body", "the request is authentic and has no body; does the balancer drop it?")
        metrics.count_use(self._provider, authentic.credential)
        receipt = uuid7()
        sealed = self.keys.seal(receipt, request.body)
        headers = kept_headers(self.authentication, request)
        return Delivery(receipt, self._provider, authentic.topic, headers, sealed, trace.traceparent)


class CanaryReceiver:
    """Accepts signed canaries for inboxes of their own: `stores` by provider. They are in no provider's counts.

    Secret and keys may be replaced at any time.
    """

    rejections = ("no-signature", "wrong-signature")

    def __init__(self, secret: str, keys: SealingKeys, stores: Mapping[str, DurableStore]) -> None:
        self.topics = stores.keys()
        self.retried_for = None
        self.secret = secret
        self.keys = keys
        self._stores = stores

    def authenticate(self, request: IncomingRequest) -> None:
        """Raise AuthenticationError unless the signature covers the body."""
        signature = request.header(canary.SIGNATURE)
        if not signature:
            raise AuthenticationError("no-signature")
        if not canary.is_signed(self.secret, request.body, signature):
            raise AuthenticationError("wrong-signature")

    async def receive(self, request: IncomingRequest, _authentic: object = None) -> UUID:
        """Store a canary durably and return its receipt; raises the errors of a delivery."""
        delivery = await _prepare(request, partial(self._seal, request))
        await self._stores[delivery.topic].store(delivery)
        return delivery.receipt

    def answered(self, receipt: UUID, seconds: float, is_complete: bool) -> None:
        """Do nothing: canaries are in no ledger."""

    def _seal(self, request: IncomingRequest) -> Delivery:
        self.authenticate(request)
        receipt, provider = uuid7(), str(request.topic)  # the edge routes only the topics above
        sealed = self.keys.seal(receipt, request.body)
        return Delivery(receipt, canary.inbox_name(provider), provider, {}, sealed)


async def _prepare(request: IncomingRequest, seal: Callable[[], T]) -> T:
    if len(request.body) <= _QUICK_BYTES:
        return seal()
    return await asyncio.to_thread(seal)
