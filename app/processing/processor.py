"""Processing of one delivery: unseal, decrypt, validate; in workers and in a replay."""

from dataclasses import replace

from app import metrics
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Payload, ReceivedDelivery
from app.domain.event import Event
from app.domain.national_ids import mask_text
from app.domain.outcome import ProcessedDelivery
from app.errors import InvalidDeliveryError, opened_with
from app.providers.base import Provider


class DeliveryProcessor:
    """Unseals, decrypts and validates the deliveries of one provider."""

    def __init__(self, seals: SealingKeys, provider: Provider) -> None:
        self._seals = seals
        self._provider = provider
        # Every key that may open a delivery, as metrics name it.
        self.credentials = [f"sealing key {key_id}" for key_id in seals.key_ids]
        self.credentials += [f"key {key_id}" for key_id in getattr(provider, "key_ids", ())]

    def process(self, received: ReceivedDelivery) -> ProcessedDelivery:
        """Return the delivery with its event, or with the reason why it is a dead letter."""
        delivery = received.delivery
        try:
            body = self._seals.unseal(delivery.receipt, delivery.sealed)
            metrics.count_use(delivery.provider, f"sealing key {self._seals.key_of(delivery.sealed)}")
            payload = self._provider.open(delivery.topic, delivery.headers, body)
            if payload.opened_by:
                metrics.count_use(delivery.provider, f"key {payload.opened_by}")
            return ProcessedDelivery(received, validate(self._provider, payload))
        except InvalidDeliveryError as error:
            # A copy, because the traceback of the original refers to the clear content.
            return ProcessedDelivery(received, InvalidDeliveryError(error.reason, error.detail, error.key_ids))


def validate(provider: Provider, payload: Payload) -> Event:
    """Return the event of a payload, flagged for what holds for every provider.

    Raises:
        InvalidDeliveryError: It can never be an event. The detail names the key that opened it.
    """
    try:
        event = provider.validate(payload)
    except InvalidDeliveryError as error:
        raise opened_with(payload.opened_by, error) from error
    flags = dict(event.field_flags)
    for key in payload.duplicates:
        name = mask_text(key)
        flags[name] = [*flags.get(name, ()), "duplicate-key"]
    return replace(event, field_flags=flags) if payload.duplicates else event
