"""Scaling: `python -m benchmarks.scaling` measures how many deliveries a second 1, 2, 4 and 8 processes store.

One provider, one Postgres, one Redis, one ingest, all on this machine. A full inbox is drained by the workers' own
consumer in each process. What ran, waited and was locked meanwhile becomes the service times of `scaling_model`.
"""

import base64
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import click
import httpx

from app.audit.conservation import audit
from app.inbox import client
from app.inbox.stream import Inbox
from app.storage.connection import connect, fetch_one
from benchmarks import bodies, load, machine, scaling_tables
from benchmarks.consumers import PROVIDER, Spent, consumers
from benchmarks.processor_time import Usage, measured
from benchmarks.receivers import HEADERS
from benchmarks.result_files import KVITTO, Record
from benchmarks.scaling_tables import RATES_FILE
from config.celery import BATCH_ENTRIES
from config.redis_address import RedisAddress
from tests.support import databases, servers
from tests.support.kvitto_process import PROGRAM, ROOT, with_secrets
from tests.support.ports import free_port
from tests.support.process_tree import below, named

PROCESSES = (1, 2, 4, 8)
_LOOK_SECONDS = 0.01
_LOCKS = """
    SELECT count(*) FILTER (WHERE granted) AS held, count(*) FILTER (WHERE NOT granted) AS waiting FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(slots=True)
class LockSamples:
    """Looks at the lock of the provider: when, whether it was held, how many waited for it."""

    looks: list[tuple[float, int, int]] = field(default_factory=list)

    def means(self, until: float) -> tuple[float, float]:
        """Return the share of the time that the lock was held, and how many waited on average."""
        found = [look for look in self.looks if look[0] <= until] or [(0.0, 0, 0)]
        return fmean(min(held, 1) for _, held, _ in found), fmean(waiting for _, _, waiting in found)


@dataclass(frozen=True, slots=True)
class Installation:
    """What is measured: ingest, Postgres and Redis of one provider, without workers."""

    folder: Path
    environment: Mapping[str, str]
    url: str
    ingest: int
    postgres: int
    redis: int

    def groups(self) -> dict[str, Sequence[int]]:
        """Return the processes by what they are; `backend` serves a connection."""
        database = self.environment["DATABASE_URL"].rpartition("/")[2]
        children = below(self.postgres)
        backends = [pid for pid, line in children.items() if database in line]
        return {
            "ingest": [self.ingest, *below(self.ingest)],
            "Redis": [self.redis],
            "backend": backends,
            "Postgres": [self.postgres, *(pid for pid in children if pid not in backends)],
        }

    def connections(self) -> dict[str, int]:
        """Return how many connections workers have to Postgres, and workers and ingest to Redis."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE starts_with(application_name, 'kvitto-ledger-')"
        redis = client.connect(RedisAddress.parse(self.environment["REDIS_URL"]))
        with connect(self.environment["DATABASE_URL"], "bench") as connection, closing(redis):
            own = 1
            return {
                "Postgres": fetch_one(connection, query).count,
                "Redis": int(redis.info("clients")["connected_clients"]) - own,
            }

    @contextmanager
    def audited(self, accepted: int) -> Iterator[None]:
        """Raise AssertionError unless exactly `accepted` deliveries are stored during a block, and none is missing."""
        before = self._audit()["receipts"]
        yield
        after = self._audit()
        assert after["missing"] == after["in_flight"] == 0, after
        assert after["receipts"] - before == accepted, f"{after['receipts'] - before} of {accepted} stored"

    def _audit(self) -> dict[str, int]:
        redis = client.connect(RedisAddress.parse(self.environment["REDIS_URL"]))
        with connect(self.environment["DATABASE_URL"], "audit") as connection, closing(redis):
            return dict(audit(connection, Inbox(redis, PROVIDER)).row())

    @contextmanager
    def sampled(self) -> Iterator[LockSamples]:
        """Look at the lock during a block."""
        samples, is_over = LockSamples(), threading.Event()

        def look() -> None:
            with connect(self.environment["DATABASE_URL"], "bench") as connection:
                while not is_over.wait(_LOOK_SECONDS):
                    held, waiting = connection.execute(_LOCKS).fetchall()[0]
                    samples.looks.append((time.time(), held, waiting))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield samples
        finally:
            is_over.set()
            thread.join()


@contextmanager
def started() -> Iterator[Installation]:
    """Start the servers and one ingest."""
    with tempfile.TemporaryDirectory(prefix="kvitto-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with servers.postgres_process(folder) as (server, postgres), servers.valkey(folder) as redis:
            databases.prepare(server)
            address = f"127.0.0.1:{free_port()}"
            environment = with_secrets({
                "DATABASE_URL": databases.create(server), "REDIS_URL": redis, "PROVIDERS": PROVIDER,
                "SEALING_KEYS": f"a={base64.b64encode(b's' * 32).decode()}", "INGEST_BIND": address,
                "FINGERPRINT_KEY": base64.b64encode(b"f" * 32).decode(),
            })  # fmt: skip
            with _ingest(environment, folder / "ingest.log") as ingest:
                log = folder / "ingest.log"
                servers.eventually(lambda: _is_ready(address, ingest, log), "ingest ready: ", 600, log)
                (valkey,) = named(os.getpid(), "valkey-server", redis.rpartition(":")[2].partition("/")[0])
                url = f"http://{address}/webhooks/{PROVIDER}/applications"
                yield Installation(folder, environment, url, ingest.pid, postgres.pid, valkey)


@contextmanager
def _ingest(environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("ab") as out,
        subprocess.Popen([*PROGRAM, "ingest"], env=environment, cwd=ROOT, stdout=out, stderr=out) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def _is_ready(address: str, ingest: subprocess.Popen[bytes], log: Path) -> bool:
    assert ingest.poll() is None, log.read_text()
    try:
        return httpx.get(f"http://{address}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def measure(found: Installation, record: Record, processes: int, deliveries: int) -> None:
    """Fill the inbox by ingest, then drain it by so many processes."""
    path = found.folder / "bodies"
    bodies.write(path, bodies.applications(deliveries))
    with measured(found.groups) as filling:
        answers = load.post(found.url, HEADERS, path)
    number = answers.accepted
    record.remark("accept", None if number == deliveries else f"{deliveries - number} not answered 200")
    record.add("service times", "accept", filling.seconds["ingest"] / number * 1e6, "µs")
    record.add("service times", "append", filling.seconds["Redis"] / number * 1e6, "µs")
    with (
        found.audited(number),
        consumers(processes, found.environment, found.folder / "slots") as ready,
        measured(found.groups) as draining,
        found.sampled() as samples,
    ):
        began, spent = ready.drain()
        for server, number_of in found.connections().items():
            record.add(scaling_tables.figure(processes), f"connections to {server}", number_of, "")
    seconds = max(each.stored_at for each in spent) - began
    held, waiting = samples.means(began + seconds)
    workers = sum(each.seconds for each in spent)
    draining.others = max(0.0, draining.others - workers / draining.elapsed)
    figure = scaling_tables.figure(processes)
    record.add(figure, KVITTO, number / seconds, "/s")
    record.add(figure, "lock is held", held, "of the time")
    record.add(figure, "processes that wait for the lock", waiting, "")
    record.add(figure, "other programs", draining.others, "cores")
    if processes == 1:
        for name, value, unit in _service_times(number, seconds, held * seconds, draining, spent[0]):
            record.add("service times", name, value, unit)


def _service_times(
    number: int, seconds: float, held_seconds: float, usage: Usage, worker: Spent
) -> Iterator[tuple[str, float, str]]:
    """Yield what one delivery takes of each part, and what a batch waits: the rest of the time."""
    used = usage.seconds
    parts = {
        "claim": used["Redis"],
        "open": worker.seconds - worker.store_seconds,
        "store": worker.store_seconds,
        "ledger": used["backend"],
        "background": used["Postgres"],
    }
    waits = {
        "commit": held_seconds - (parts["store"] + parts["ledger"]) / usage.speed,
        "reply": seconds - held_seconds - (parts["open"] + parts["claim"]) / usage.speed,
    }
    for name, value in parts.items():
        yield name, value / number * 1e6, "µs"
    for name, value in waits.items():
        yield name, max(0.0, value) / number * BATCH_ENTRIES * 1e3, "ms a batch"


@click.command(epilog="Example: python -m benchmarks.scaling --rounds 1")
@click.option("--deliveries", type=click.IntRange(min=1), default=15_000, help="Of each drain.", show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=2, help="Drains of each kind.", show_default=True)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to keep the results; then no document is written. Default: benchmarks/results/scaling.json.",
)
def main(deliveries: int, rounds: int, file: Path | None) -> None:
    """Measure, keep the raw results, and write the tables of docs/scaling.md."""
    record = Record(machine=machine.describe() | {"deliveries of a drain": deliveries})
    with started() as found:
        for turn in range(rounds):
            for processes in PROCESSES:
                click.echo(f"{processes} processes, {turn + 1} of {rounds}", err=True)
                measure(found, record, processes, deliveries)
    record.write(file or RATES_FILE)
    click.echo("\n\n".join(scaling_tables.of_rates(record).values()))
    if file is None:
        scaling_tables.write()


if __name__ == "__main__":
    main()
