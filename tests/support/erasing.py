"""The inbox of Kompar, its worker and its ledger in this process, and persons who are erased from them."""

from pathlib import Path
from typing import Any
from uuid import UUID

from redis import Redis
from uuid_utils.compat import uuid7

from app.audit import conservation
from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.inbox.stream import Inbox
from app.processing.erasure import erase
from app.processing.holdings import Holdings, Subject
from app.processing.processor import DeliveryProcessor
from app.providers.kompar.events import Kompar
from app.sandbox.kompar import encrypt
from app.storage.access_log import Access
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from workers.batch import BatchProcessor
from workers.canary_consumer import CanaryConsumer
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot

KEY = b"k" * 32
SEALS = SealingKeys((("a", KEY),))
FINGERPRINTS = Fingerprints(KEY)
ACCESS = Access("erasure", "Grace", "request 4711", subject="a person")
PERSON, OTHER = "19811218-9876", "19900101-1239"


class Kvitto:
    """The inbox of Kompar, its worker and its ledger, in this process."""

    def __init__(self, redis: Redis, database: str, connection: Connection, folder: Path) -> None:
        self.provider = Kompar((("a", KEY),), FINGERPRINTS)
        self.inbox, self.ledger, self.connection = Inbox(redis, "kompar"), Ledger(database, "kompar"), connection
        self.slot = ConsumerSlot(folder)
        processor = BatchProcessor(DeliveryProcessor(SEALS, self.provider), self.ledger)
        canaries = CanaryConsumer(Inbox(redis, "canary/kompar"), self.ledger, SEALS, "kompar")
        self.consumer = InboxConsumer(self.inbox, processor, self.slot, lambda: None, canaries)

    def append(self, content: Any, topic: str = "applications", key: bytes = KEY) -> UUID:
        """Append a delivery, encrypted, to the inbox; `content` may be a text that is no JSON."""
        delivery = self.delivery(content, topic, key)
        self.inbox.append(delivery)
        return delivery.receipt

    def delivery(self, content: Any, topic: str = "applications", key: bytes = KEY) -> Delivery:
        body = content if isinstance(content, bytes) else encrypt(content, key.decode())
        receipt = uuid7()
        return Delivery(receipt, "kompar", topic, {}, SEALS.seal(receipt, body))

    def drain(self) -> None:
        """Store all that waits in the inbox: on a busy machine that takes several drains."""
        while self.inbox.receipts():
            self.consumer.drain()

    def holdings(self, person: str = PERSON) -> Holdings:
        subject = Subject.of_person(person, FINGERPRINTS)
        return Holdings(self.provider, SEALS, self.inbox, self.ledger, subject)

    def erase(self, person: str = PERSON) -> Holdings:
        holdings = self.holdings(person)
        erase(holdings, self.connection, ACCESS)
        return holdings

    def outcomes(self) -> dict[UUID, tuple[str, str | None, bool]]:
        query = "SELECT receipt, outcome, reason, erased_at FROM reporting.deliveries"
        return {
            row.receipt: (row.outcome, row.reason, row.erased_at is not None) for row in self.connection.execute(query)
        }

    def applications(self) -> dict[str, list[str]]:
        query = "SELECT application_id, flags FROM reporting.kompar_applications"
        return dict(self.connection.execute(query).fetchall())

    def missing(self) -> int:
        return conservation.audit(self.connection, self.inbox).missing

    def close(self) -> None:
        self.ledger.close()
        self.slot.release()


def application(number: str, **more: Any) -> dict[str, Any]:
    return {"application_id": number, "name": "Anna", "amount": 100_000} | more
