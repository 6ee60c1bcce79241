"""Makes settlements of deliveries: unseal, open, validate; in workers, and again at a replay."""

from app.crypto.sealing import SealingKeys
from app.delivery import Received
from app.errors import Rejected
from app.event import Event
from app.providers import Provider
from app.storage.settlement import Settlement


class Settler:
    """Opens and validates one provider's deliveries."""

    def __init__(self, seals: SealingKeys, provider: Provider) -> None:
        self._seals = seals
        self._provider = provider

    def settle(self, received: Received) -> Settlement:
        """Return the delivery with its event, or with the reason why it is a dead letter."""
        try:
            return Settlement(received, self._event(received))
        except Rejected as error:
            # A copy: the original holds on to frames with the clear content.
            return Settlement(received, Rejected(error.reason, error.detail))

    def _event(self, received: Received) -> Event:
        delivery = received.delivery
        body = self._seals.unseal(delivery.receipt, delivery.sealed)
        payload = self._provider.open(delivery.topic, delivery.headers, body)
        return self._provider.validate(payload)
