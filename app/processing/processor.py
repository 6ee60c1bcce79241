"""Processing of one delivery: unseal, decrypt, validate; in workers and in a replay."""

from app.crypto.sealing import SealingKeys
from app.domain.delivery import ReceivedDelivery
from app.domain.outcome import ProcessedDelivery
from app.errors import InvalidDeliveryError
from app.providers.base import Provider


class DeliveryProcessor:
    """Unseals, decrypts and validates the deliveries of one provider."""

    def __init__(self, seals: SealingKeys, provider: Provider) -> None:
        self._seals = seals
        self._provider = provider

    def process(self, received: ReceivedDelivery) -> ProcessedDelivery:
        """Return the delivery with its event, or with the reason why it is a dead letter."""
        delivery = received.delivery
        try:
            body = self._seals.unseal(delivery.receipt, delivery.sealed)
            payload = self._provider.open(delivery.topic, delivery.headers, body)
            return ProcessedDelivery(received, self._provider.validate(payload))
        except InvalidDeliveryError as error:
            # A copy, because the traceback of the original refers to the clear content.
            return ProcessedDelivery(received, InvalidDeliveryError(error.reason, error.detail))
