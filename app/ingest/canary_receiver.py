"""The way in of canaries: sealed and kept like deliveries, apart from any provider's, and in none of their counts."""

from collections.abc import Collection, Mapping
from uuid import UUID

from uuid_utils.compat import uuid7

from app import metrics
from app.canary import message as canary
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.errors import AuthenticationError
from app.ingest.durable_store import DurableStore
from app.providers.base import IncomingRequest


class CanaryReceiver:
    """Takes in what is signed with CANARY_SECRET, each provider's into stores of their own."""

    def __init__(self, secret: str, seals: SealingKeys, stores: Mapping[str, DurableStore]) -> None:
        self._secret = secret
        self._seals = seals
        self._stores = stores

    @property
    def topics(self) -> Collection[str]:
        """The providers that are served."""
        return self._stores.keys()

    def receive(self, request: IncomingRequest) -> UUID:
        """Return the receipt of a durable canary.

        Raises:
            AuthenticationError: The body is not signed with the secret.
            StoreUnavailableError: It could not be proven that the canary is on disk.
        """
        signature = request.header(canary.SIGNATURE)
        if not signature or not canary.is_signed(self._secret, request.body, signature):
            reason = "wrong-signature" if signature else "no-signature"
            metrics.REFUSED.labels(canary.PROVIDER, reason).inc()
            raise AuthenticationError(reason)
        receipt, provider = uuid7(), request.topic
        assert provider is not None  # noqa: S101 - of the stores' names
        sealed = self._seals.seal(receipt, request.body)
        self._stores[provider].store(Delivery(receipt, canary.road(provider), provider, {}, sealed))
        return receipt
