"""Accepts the deliveries of one provider: authenticates, seals and stores each, and returns its receipt."""

from collections.abc import Collection
from uuid import UUID

from uuid_utils.compat import uuid7

from app import metrics
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.ingest.durable_store import DurableStore
from app.providers.base import Authentication, IncomingRequest


class DeliveryReceiver:
    """Accepts requests that a provider's authentication confirms."""

    def __init__(self, provider: str, authentication: Authentication, keys: SealingKeys, store: DurableStore) -> None:
        self._provider = provider
        self._authentication = authentication
        self._keys = keys
        self._store = store
        self._duration = metrics.WEBHOOK_DURATION.labels(provider)
        self._accepted = metrics.WEBHOOK_REQUESTS.labels(provider, "200", "accepted")

    @property
    def topics(self) -> Collection[str | None]:
        """The provider's topics, as URLs name them; None means a URL without a topic."""
        return self._authentication.topics

    def receive(self, request: IncomingRequest) -> UUID | None:
        """Store a delivery durably and return its receipt; None for a handshake, which is not stored.

        Raises:
            AuthenticationError: The request is not authentic.
            StoreUnavailableError: No store confirmed that the delivery is on disk.
        """
        with self._duration.time():
            authentic = self._authentication.authenticate(request)
            if authentic is None:
                metrics.WEBHOOK_REQUESTS.labels(self._provider, "200", "handshake").inc()
                return None
            receipt = uuid7()
            sealed = self._keys.seal(receipt, request.body)
            headers = {name: value for name in self._authentication.kept_headers if (value := request.header(name))}
            self._store.store(Delivery(receipt, self._provider, authentic.topic, headers, sealed))
        self._accepted.inc()
        return receipt
