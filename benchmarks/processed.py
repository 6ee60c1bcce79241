"""Applications as a worker hands them to the ledger."""

import time
from uuid import UUID

from uuid_utils.compat import uuid7

from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.providers.kompar.events import Kompar
from app.sandbox.kompar import encrypt
from tests.support.providers.kompar_fixtures import KEY

_KOMPAR = Kompar((("a", KEY.encode()),), Fingerprints(b"k" * 32))
_SEALS = SealingKeys((("2026-11-01", b"s" * 32),))


def application(document: dict[str, object], epoch: UUID, seq: int) -> ProcessedDelivery:
    """Return an application that was received now, encrypted and sealed."""
    receipt, position = uuid7(), StreamId(int(time.time() * 1000), seq)
    body = encrypt(document, KEY)
    delivery = Delivery(receipt, "kompar", "applications", {}, _SEALS.seal(receipt, body))
    received = ReceivedDelivery(delivery, position.received_at, epoch, position)
    return ProcessedDelivery(received, _KOMPAR.validate(_KOMPAR.open("applications", {}, body)))
