"""Worker processes that drain one inbox by the workers' own consumer, without Celery, and count what they spend."""

import gc
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from uuid import UUID

from app.crypto.sealing import SealingKeys
from app.domain import canary
from app.domain.outcome import Outcome, ProcessedDelivery
from app.inbox import client
from app.inbox.stream import Inbox
from app.processing.processor import DeliveryProcessor
from app.providers import registry
from app.storage.ledger import Ledger
from config.celery import DRAIN_LIMIT_SECONDS
from config.environment import Environment
from config.settings import WorkerSettings
from workers.batch import BatchProcessor
from workers.canary_consumer import CanaryConsumer
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot

PROVIDER = "kompar"
_PAUSE_SECONDS = 0.2
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What one process spent: seconds of processor time in all and in `Ledger.store`; when its last store ended."""

    seconds: float
    store_seconds: float
    stored_at: float


class TimedLedger(Ledger):
    """A ledger that notes what its stores take of this process."""

    store_seconds = 0.0
    stored_at = 0.0

    def store(self, deliveries: Sequence[ProcessedDelivery]) -> dict[UUID, Outcome]:
        """Store a batch."""
        began = time.process_time()
        outcomes = super().store(deliveries)
        self.store_seconds += time.process_time() - began
        self.stored_at = time.time()
        return outcomes


class Consumers:
    """Processes that are ready to drain."""

    def __init__(self, number: int, start: Barrier, results: "Queue[Spent]") -> None:
        self._number = number
        self._start = start
        self._results = results

    def drain(self) -> tuple[float, list[Spent]]:
        """Let all begin at once; return when, in seconds since 1970, and what each spent until the inbox was empty."""
        self._start.wait(_PATIENCE_SECONDS)
        began = time.time()
        return began, [self._results.get(timeout=_PATIENCE_SECONDS) for _ in range(self._number)]


@contextmanager
def consumers(number: int, environment: Mapping[str, str], folder: Path) -> Iterator[Consumers]:
    """Start so many processes. They, and their connections, last until the block ends."""
    context = multiprocessing.get_context("spawn")
    start, end, results = context.Barrier(number + 1), context.Event(), context.Queue()
    arguments = (dict(environment), folder, start, end, results)
    folder.mkdir(exist_ok=True)
    processes = [context.Process(target=_run, args=arguments) for _ in range(number)]
    for process in processes:
        process.start()
    try:
        start.wait(_PATIENCE_SECONDS)  # until all are connected
        yield Consumers(number, start, results)
    finally:
        end.set()
        for process in processes:
            process.join()


def _run(environment: dict[str, str], folder: Path, start: Barrier, end: Event, results: "Queue[Spent]") -> None:
    """Consume; an error ends what waits for this process."""
    try:
        _consume(environment, folder, start, end, results)
    except BaseException:
        start.abort()
        raise


def _consume(environment: dict[str, str], folder: Path, start: Barrier, end: Event, results: "Queue[Spent]") -> None:
    """Drain in this process until nothing waits."""
    settings = WorkerSettings.read(Environment(environment))
    keys, provider = SealingKeys(settings.sealing_keys), registry.load(PROVIDER, Environment(environment))
    assert provider is not None
    redis = client.connect(settings.redis)
    inbox, ledger = Inbox(redis, PROVIDER), TimedLedger(settings.database_url, PROVIDER)
    canaries = CanaryConsumer(Inbox(redis, canary.inbox_name(PROVIDER)), ledger, keys, PROVIDER)
    batches = BatchProcessor(DeliveryProcessor(keys, provider), ledger)
    consumer = InboxConsumer(inbox, batches, ConsumerSlot(folder), lambda: None, canaries)
    consumer.start()
    ledger.check()
    gc.freeze()  # as the workers' processes do
    gc.set_threshold(10_000)
    start.wait(_PATIENCE_SECONDS)
    start.wait(_PATIENCE_SECONDS)
    began = time.process_time()
    while inbox.backlog().entries:
        drained_at = time.monotonic()
        consumer.drain()
        if time.monotonic() - drained_at < DRAIN_LIMIT_SECONDS:
            # What is left, other processes have claimed, or released after a server failed: a sweep claims that.
            time.sleep(_PAUSE_SECONDS)
            if inbox.backlog().entries:
                consumer.sweep()
    results.put(Spent(time.process_time() - began, ledger.store_seconds, ledger.stored_at))
    end.wait()
    ledger.close()
