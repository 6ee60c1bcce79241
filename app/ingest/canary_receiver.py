"""Accepts canaries: sealed and stored like deliveries, in inboxes of their own and in no provider's counts."""

from collections.abc import Collection, Mapping
from uuid import UUID

from uuid_utils.compat import uuid7

from app.canary import message as canary
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.errors import AuthenticationError
from app.ingest.durable_store import DurableStore
from app.providers.base import IncomingRequest


class CanaryReceiver:
    """Accepts requests that are signed with CANARY_SECRET."""

    def __init__(self, secret: str, keys: SealingKeys, stores: Mapping[str, DurableStore]) -> None:
        """Store the canaries of each provider in its own one of `stores`."""
        self._secret = secret
        self._keys = keys
        self._stores = stores

    @property
    def topics(self) -> Collection[str]:
        """The providers that are served."""
        return self._stores.keys()

    def receive(self, request: IncomingRequest) -> UUID:
        """Store a canary durably and return its receipt.

        Raises:
            AuthenticationError: The body is not signed with the secret.
            StoreUnavailableError: No store confirmed that the canary is on disk.
        """
        signature = request.header(canary.SIGNATURE)
        if not signature:
            raise AuthenticationError("no-signature")
        if not canary.is_signed(self._secret, request.body, signature):
            raise AuthenticationError("wrong-signature")
        receipt, provider = uuid7(), str(request.topic)  # the endpoint routes only the topics above
        sealed = self._keys.seal(receipt, request.body)
        self._stores[provider].store(Delivery(receipt, canary.inbox_name(provider), provider, {}, sealed))
        return receipt
