"""Makes settlements of deliveries: unseal, open, validate; in workers, and again at a replay."""

from app.crypto.sealing import SealingKeys
from app.domain.delivery import ReceivedDelivery
from app.domain.event import Event
from app.domain.outcome import ProcessedDelivery
from app.errors import InvalidDeliveryError
from app.providers.base import Provider


class DeliveryProcessor:
    """Opens and validates one provider's deliveries."""

    def __init__(self, seals: SealingKeys, provider: Provider) -> None:
        self._seals = seals
        self._provider = provider

    def process(self, received: ReceivedDelivery) -> ProcessedDelivery:
        """Return the delivery with its event, or with the reason why it is a dead letter."""
        try:
            return ProcessedDelivery(received, self._event(received))
        except InvalidDeliveryError as error:
            # A copy: the original holds on to frames with the clear content.
            return ProcessedDelivery(received, InvalidDeliveryError(error.reason, error.detail))

    def _event(self, received: ReceivedDelivery) -> Event:
        delivery = received.delivery
        body = self._seals.unseal(delivery.receipt, delivery.sealed)
        payload = self._provider.open(delivery.topic, delivery.headers, body)
        return self._provider.validate(payload)
