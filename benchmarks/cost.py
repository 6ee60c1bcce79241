"""Cost: CPU per event by stage, ours and the servers', and profiles of edge and worker under load.

The stages run in this process, one after the other, on Kvitto's own servers while its workers stand still; appends
from as many threads as the edge has.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from uuid_utils.compat import uuid7

from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery, ReceivedDelivery
from app.domain.outcome import ProcessedDelivery
from app.inbox import client
from app.inbox.stream import Inbox
from app.ingest.group_commit import GroupCommit
from app.providers import registry
from app.sandbox.kompar import encrypt
from app.storage.ledger import Ledger
from benchmarks import bodies
from benchmarks.receivers import HEADERS
from benchmarks.runner import Bench
from config.environment import Environment
from config.settings import WorkerSettings
from tests.support.providers.kompar_fixtures import KEY

STAGES = ("authenticate", "seal", "append", "claim", "unseal", "open", "validate", "store", "acknowledge")
PYTHON, REDIS, POSTGRES = "Python", "Redis", "Postgres"
_CONSUMER = "benchmark"
# What clock_getcpuclockid(3) makes the id of a process's clock of with its negated pid: CPUCLOCK_SCHED.
_ALL_THREADS = 2


def stage_figure(stage: str) -> str:
    """Return the name of a stage's CPU time."""
    return f"cost of {stage}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, as far as authentication looks."""

    topic: str | None
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's value."""
        return HEADERS.get(name, "")


class Stages:
    """The stages of a delivery's way, each for a whole batch, each timed."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._environment = Environment(dict(bench.setup.kvitto.environment))
        settings = WorkerSettings.read(self._environment)
        self._seals = SealingKeys(settings.sealing_keys)
        self._inbox = Inbox(client.connect(settings.redis), "kompar")
        self._appends = GroupCommit(self._inbox.append_all, lambda delivery: len(delivery.sealed))
        self._ledger = Ledger(settings.database_url, "kompar")
        self._ledger.check()

    def run(self, requests: Sequence[bytes]) -> None:
        """Take all requests from authentication to acknowledgement."""
        count = len(requests)
        self._authenticate(requests)
        with self._timed("seal", count):
            deliveries = [self._sealed(body) for body in requests]
        with self._timed("append", count):
            asyncio.run(self._append(deliveries))
        with self._timed("claim", count):
            batches = list(iter(lambda: self._inbox.claim(_CONSUMER), []))
        processed = self._process(batches, count)
        with self._timed("store", count):
            for each in processed:
                self._ledger.store(each)
        with self._timed("acknowledge", count):
            for batch in batches:
                self._inbox.acknowledge(batch)
        self._ledger.close()

    async def _append(self, deliveries: Sequence[Delivery]) -> None:
        await asyncio.gather(*map(self._appends.commit, deliveries))

    def _authenticate(self, requests: Sequence[bytes]) -> None:
        authentication = registry.load_authentication("kompar", self._environment)
        assert authentication is not None
        with self._timed("authenticate", len(requests)):
            for body in requests:
                authentication.authenticate(_Asked("applications", body))

    def _sealed(self, body: bytes) -> Delivery:
        receipt = uuid7()
        return Delivery(receipt, "kompar", "applications", {}, self._seals.seal(receipt, body))

    def _process(self, batches: Sequence[list[ReceivedDelivery]], count: int) -> list[list[ProcessedDelivery]]:
        provider = registry.load("kompar", self._environment)
        assert provider is not None
        deliveries = [received.delivery for batch in batches for received in batch]
        with self._timed("unseal", count):
            clear = [self._seals.unseal(each.receipt, each.sealed) for each in deliveries]
        with self._timed("open", count):
            payloads = [provider.open("applications", {}, body) for body in clear]
        with self._timed("validate", count):
            events = iter([provider.validate(payload) for payload in payloads])
        return [[ProcessedDelivery(received, next(events)) for received in batch] for batch in batches]

    @contextmanager
    def _timed(self, stage: str, count: int) -> Iterator[None]:
        processes = self._bench.setup.processes()
        before = {kind: cpu_seconds(processes[kind]) for kind in (REDIS, POSTGRES)}
        began = time.process_time()
        yield
        python = time.process_time() - began
        spent = {kind: cpu_seconds(processes[kind]) - seconds for kind, seconds in before.items()}
        for kind, seconds in ({PYTHON: python} | spent).items():
            self._bench.record.add(stage_figure(stage), kind, seconds / count * 1e6, "µs")


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU time of processes, by the clock of each: /proc counts in hundredths of a second."""
    found = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):  # it ended meanwhile
            found += time.clock_gettime(~pid << 3 | _ALL_THREADS)
    return found


def measure(bench: Bench) -> None:
    """Take events through every stage."""
    ours = bench.setup.ours
    for _ in bench.pairs("cost", few=True):
        requests = [encrypt(each, KEY) for each in bodies.applications(bench.volume.staged)]
        with bench.sending(ours, "cost") as sent, ours.standing():
            Stages(bench).run(requests)
            sent.posted = sent.accepted = len(requests)
