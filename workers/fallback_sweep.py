"""Drains an inbox that no consumer has read for 35 s.

Wake-ups travel through the broker. A full Redis refuses them, and only draining would make room. So each worker
watches the inboxes by itself. It drains in a child process with a time limit, so that a delivery that never ends
cannot block the worker: `python -m workers.fallback_sweep PROVIDER WORKER`.
"""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import config.logging
from app import metrics
from app.errors import StoreUnavailableError
from app.storage import fallbacks
from config.variables import PYTHON
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot

_CHECK_SECONDS = 5.0
# Longer than Celery lets a task run: a task that hangs has ended by then.
_IDLE_SECONDS = 35.0
_LIMIT_SECONDS = 30.0
logger = logging.getLogger(__name__)


class FallbackSweep(threading.Thread):
    """Watches every inbox from the worker's parent process."""

    def __init__(self, consumers: Sequence[InboxConsumer], worker: UUID) -> None:
        super().__init__(name="fallback-sweep", daemon=True)
        self._consumers = consumers
        self._worker = worker
        # The slot of the last child process per provider: its own reads are not those of another consumer.
        self._child_slots: dict[str, str] = {}

    def run(self) -> None:
        """Watch until the process ends."""
        while True:
            time.sleep(_CHECK_SECONDS)
            for consumer in self._consumers:
                self._check(consumer)

    def _check(self, consumer: InboxConsumer) -> None:
        provider = consumer.inbox.provider
        try:
            if self._is_neglected(consumer):
                logger.warning("fallback_sweep_started", extra={"provider": provider})
                self._sweep(provider)
        except StoreUnavailableError:
            return  # nothing can be stored now
        except Exception:
            logger.exception("fallback_sweep_failed", extra={"provider": provider})

    def _is_neglected(self, consumer: InboxConsumer) -> bool:
        """Return whether something waits and no consumer reads. Without Redis no wake-up can come."""
        waits = any(overflow.waiting().entries for overflow in (consumer.overflow, consumer.canaries.overflow))
        try:
            waits = waits or any(inbox.backlog().entries for inbox in (consumer.inbox, consumer.canaries.inbox))
            own = self._child_slots.get(consumer.inbox.provider, "")
            return waits and consumer.inbox.idle_seconds(exclude=own) > _IDLE_SECONDS
        except StoreUnavailableError:
            return waits

    def _sweep(self, provider: str) -> None:
        command = [*PYTHON, "-m", "workers.fallback_sweep", provider, str(self._worker)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - our own
            timer = threading.Timer(_LIMIT_SECONDS, child.kill)
            timer.start()
            if child.stdout is not None:
                self._child_slots[provider] = child.stdout.readline().strip()
            child.wait()
            timer.cancel()


def main(provider: str, worker: str) -> None:
    """Print the slot's name, then sweep once on behalf of a worker's parent process."""
    from workers import lifecycle  # noqa: PLC0415 - which imports this module

    config.logging.configure()
    metrics.share()  # in the folder of the worker, which passes it on in the environment
    metrics.worker_series([provider])
    slot = ConsumerSlot(worker=UUID(worker))
    print(slot.name, flush=True)  # noqa: T201 - what the parent process reads
    consumer = lifecycle.make_consumer(provider, slot)
    with suppress(StoreUnavailableError), consumer.ledger.connected() as connection:  # else nothing is stored anyway
        fallbacks.record(connection, "worker", [provider], "no-consumer")
    consumer.start()
    consumer.sweep()


if __name__ == "__main__":
    main(*sys.argv[1:])
