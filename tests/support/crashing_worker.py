"""Workers that end at a chosen step, as if they were killed there; all in one process, on real servers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from redis import Redis

from app.crypto.sealing import SealingKeys
from app.domain import canary
from app.domain.delivery import ReceivedDelivery
from app.domain.outcome import Outcome, ProcessedDelivery
from app.inbox.stream import Inbox
from app.processing.processor import DeliveryProcessor
from app.providers.base import Provider
from app.storage.ledger import Ledger
from workers.batch import BatchProcessor, Source
from workers.canary_consumer import CanaryConsumer
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot

STEPS = ("before store", "before acknowledge", "after release")


class Killed(BaseException):
    """A worker ends here, without another step."""


class Fate:
    """At which step a worker is to end."""

    step: str | None = None

    def reached(self, step: str) -> None:
        if step == self.step:
            raise Killed


class MortalLedger(Ledger):
    def __init__(self, fate: Fate, database: str, provider: str) -> None:
        super().__init__(database, provider)
        self._fate = fate

    def store(self, deliveries: Sequence[ProcessedDelivery]) -> dict[UUID, Outcome]:
        self._fate.reached("before store")
        outcomes = super().store(deliveries)
        self._fate.reached("before acknowledge")
        return outcomes


class MortalInbox(Inbox):
    def __init__(self, fate: Fate, redis: Redis, provider: str) -> None:
        super().__init__(redis, provider)
        self._fate = fate

    def release(self, consumer: str) -> None:
        super().release(consumer)
        self._fate.reached("after release")


class Worker:
    """A worker process: a slot, and a consumer at each provider's inbox."""

    def __init__(
        self, redis: Redis, database: str, folder: Path, seals: SealingKeys, providers: Mapping[str, Provider]
    ) -> None:
        self.slot, self.fate, self._seals = ConsumerSlot(folder), Fate(), seals
        self.held: tuple[Source, list[ReceivedDelivery]] | None = None
        self._ledgers = {name: MortalLedger(self.fate, database, name) for name in providers}
        self._pipelines = {
            name: BatchProcessor(DeliveryProcessor(seals, provider), self._ledgers[name])
            for name, provider in providers.items()
        }
        self.consumers = {name: self._consumer(redis, name) for name in providers}

    def _consumer(self, redis: Redis, name: str) -> InboxConsumer:
        inbox = MortalInbox(self.fate, redis, name)
        canaries = CanaryConsumer(Inbox(redis, canary.inbox_name(name)), self._ledgers[name], self._seals, name)
        return InboxConsumer(inbox, self._pipelines[name], self.slot, lambda: None, canaries)

    def start(self) -> None:
        for consumer in self.consumers.values():
            consumer.start()

    def claim(self, source: Source) -> None:
        """Claim a batch, and go on with it later."""
        self.held = source, source.claim(self.slot.name)

    def go_on(self) -> None:
        """Take in what was claimed."""
        if self.held and self.held[1]:
            self._pipelines[self.held[0].provider].process(*self.held)
        self.held = None

    def end(self) -> None:
        """Leave everything as it is, as a process does that is killed."""
        for ledger in self._ledgers.values():
            ledger.close()
        self.slot.release()
