"""Receivers: each authenticates a request, seals its body, stores it durably and returns its receipt."""

from collections.abc import Callable, Mapping
from uuid import UUID

from uuid_utils.compat import uuid7

from app import canary, metrics
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.errors import AuthenticationError, NotReceivedError
from app.ingest.durable_store import DurableStore
from app.providers.base import Authentication, AuthenticationResult, IncomingRequest, kept_headers


class DeliveryReceiver:
    """Accepts the requests that a provider's authentication confirms; `topics` is what its URLs name."""

    def __init__(
        self,
        provider: str,
        authentication: Authentication,
        keys: SealingKeys,
        store: DurableStore,
        on_answer: Callable[[UUID, float, bool], None],
    ) -> None:
        """`on_answer` gets each receipt, the seconds until its answer ended, and whether the sender still listened."""
        self.answered = on_answer
        self.topics = authentication.topics
        self._provider = provider
        self._authentication = authentication
        self._keys = keys
        self._store = store
        self._duration = metrics.WEBHOOK_DURATION.labels(provider)
        self._accepted = metrics.WEBHOOK_REQUESTS.labels(provider, "200", "accepted")

    def authenticate(self, request: IncomingRequest) -> AuthenticationResult | None:
        """Return what the provider's authentication confirms, None for a handshake; raises AuthenticationError."""
        return self._authentication.authenticate(request)

    def receive(self, request: IncomingRequest) -> UUID | None:
        """Store a delivery durably and return its receipt; None for a handshake, which is not stored.

        Raises:
            AuthenticationError: The request is not authentic.
            NotReceivedError: Its body is empty.
            StoreUnavailableError: No store confirmed that the delivery is on disk.
        """
        with self._duration.time():
            authentic = self.authenticate(request)
            if authentic is None:
                metrics.WEBHOOK_REQUESTS.labels(self._provider, "200", "handshake").inc()
                return None
            if not request.body:  # a proxy may have dropped it; nothing was received that could be kept
                raise NotReceivedError(
                    "empty-body", "the request is authentic and has no body; does the balancer drop it?"
                )
            receipt = uuid7()
            sealed = self._keys.seal(receipt, request.body)
            headers = kept_headers(self._authentication, request)
            self._store.store(Delivery(receipt, self._provider, authentic.topic, headers, sealed))
        self._accepted.inc()
        return receipt


class CanaryReceiver:
    """Accepts signed canaries for inboxes of their own: `stores` by provider. They are in no provider's counts."""

    def __init__(self, secret: str, keys: SealingKeys, stores: Mapping[str, DurableStore]) -> None:
        self.topics = stores.keys()
        self._secret = secret
        self._keys = keys
        self._stores = stores

    def authenticate(self, request: IncomingRequest) -> None:
        """Raise AuthenticationError unless the signature covers the body."""
        signature = request.header(canary.SIGNATURE)
        if not signature:
            raise AuthenticationError("no-signature")
        if not canary.is_signed(self._secret, request.body, signature):
            raise AuthenticationError("wrong-signature")

    def receive(self, request: IncomingRequest) -> UUID:
        """Store a canary durably and return its receipt; raises the errors of a delivery."""
        self.authenticate(request)
        receipt, provider = uuid7(), str(request.topic)  # the endpoint routes only the topics above
        sealed = self._keys.seal(receipt, request.body)
        self._stores[provider].store(Delivery(receipt, canary.inbox_name(provider), provider, {}, sealed))
        return receipt

    def answered(self, receipt: UUID, seconds: float, is_complete: bool) -> None:
        """Do nothing: canaries are in no ledger."""
