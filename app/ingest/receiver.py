"""Takes one request in: authenticated, sealed, durable, answered with its receipt."""

import time
from collections.abc import Collection
from uuid import UUID

from uuid_utils.compat import uuid7

from app import metrics
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.errors import AuthenticationError
from app.ingest.durable_store import DurableStore
from app.providers.base import Authentication, IncomingRequest


class DeliveryReceiver:
    """One provider's way in."""

    def __init__(self, provider: str, authentication: Authentication, seals: SealingKeys, stores: DurableStore) -> None:
        self._provider = provider
        self._authentication = authentication
        self._seals = seals
        self._stores = stores
        self._seconds = metrics.ANSWER_SECONDS.labels(provider)
        self._accepted = metrics.ACCEPTED.labels(provider)

    @property
    def topics(self) -> Collection[str | None]:
        """The provider's topics, as URLs name them; None stands for no segment."""
        return self._authentication.topics

    def receive(self, request: IncomingRequest) -> UUID | None:
        """Return the receipt of a durable delivery, or None for a handshake.

        Raises:
            AuthenticationError: The request is not authentic.
            StoreUnavailableError: It could not be proven that the delivery is on disk.
        """
        started = time.perf_counter()
        receipt = self._take(request)
        self._seconds.observe(time.perf_counter() - started)
        return receipt

    def _take(self, request: IncomingRequest) -> UUID | None:
        try:
            authentic = self._authentication.authenticate(request)
        except AuthenticationError as error:
            metrics.REFUSED.labels(self._provider, error.reason).inc()
            raise
        if authentic is None:
            return None
        receipt = uuid7()
        sealed = self._seals.seal(receipt, request.body)
        headers = {name: value for name in self._authentication.kept_headers if (value := request.header(name))}
        self._stores.store(Delivery(receipt, self._provider, authentic.topic, headers, sealed))
        self._accepted.inc()
        return receipt
