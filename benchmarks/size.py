"""Size: the bytes of an event in the ledger. `python -m benchmarks.size [EVENTS]` shows where they go.

An own Postgres, and applications of the usual size, stored by the ledger as a worker stores them.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

from uuid_utils.compat import uuid7

from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.domain.high_water_mark import new_epoch
from app.domain.outcome import ProcessedDelivery
from app.providers.kompar.events import Kompar
from app.sandbox.kompar import encrypt
from app.storage.connection import Connection, connect
from app.storage.ledger import Ledger
from benchmarks import bodies
from benchmarks.result_files import KVITTO, Record
from benchmarks.workload_size import Volume
from tests.support import databases, servers
from tests.support.providers.kompar_fixtures import KEY

FIGURE = "bytes in Postgres per event"
_BATCH = 500
_KOMPAR = Kompar((("a", KEY.encode()),), Fingerprints(b"k" * 32))
_SEALS = SealingKeys((("2026-11-01", b"s" * 32),))
# Of a table: the heap, its indexes, and what is kept apart because it is large.
_PARTS = """
    SELECT root.relname::text AS name, sum(pg_relation_size(part.oid))::bigint AS bytes
    FROM pg_class AS part JOIN pg_class AS root ON root.oid = coalesce(pg_partition_root(part.oid), part.oid)
    WHERE part.relnamespace = 'kvitto'::regnamespace AND part.relkind IN ('r', 'i')
    GROUP BY root.relname
    UNION ALL
    SELECT 'kept apart (TOAST)', sum(pg_relation_size(oid))::bigint FROM pg_class
    WHERE relnamespace = 'pg_toast'::regnamespace AND oid >= 16384
    ORDER BY bytes DESC
"""


def main(events: int) -> None:
    """Store, and print a line per table and index."""
    grown = _grown(events)
    print(f"{sum(grown.values()):8,.0f} bytes per event of {bodies.USUAL} bytes")
    for name, size in grown.items():
        if size >= 1:
            print(f"{size:8,.0f} {name}")


def measure(volume: Volume, _folder: Path, record: Record, say: Callable[[str], None]) -> None:
    """Measure as one of the benchmarks."""
    say("size")
    record.add(FIGURE, KVITTO, sum(_grown(volume.drained).values()), "bytes")


def _grown(events: int) -> dict[str, float]:
    """Return by how many bytes per event each table and index grew."""
    with tempfile.TemporaryDirectory() as folder, servers.postgres(Path(folder)) as server:
        Path(folder).chmod(0o755)
        databases.prepare(server)
        dsn = databases.create(server)
        with closing(Ledger(dsn, "kompar")) as ledger, connect(dsn, "bench") as connection:
            before = _sizes(connection)
            _store(ledger, events)
            connection.execute("VACUUM (ANALYZE)")
            after = _sizes(connection)
    return {name: (size - before.get(name, 0)) / events for name, size in after.items()}


def _store(ledger: Ledger, events: int) -> None:
    """Store applications in batches, as many as a busy worker claims at once."""
    documents, epoch, numbers = bodies.applications(events), new_epoch(), iter(range(events))
    while batch := list(islice(documents, _BATCH)):
        found = []
        for document in batch:
            receipt, position = uuid7(), StreamId(int(time.time() * 1000), next(numbers))
            body = encrypt(document, KEY)
            delivery = Delivery(receipt, "kompar", "applications", {}, _SEALS.seal(receipt, body))
            received = ReceivedDelivery(delivery, position.received_at, epoch, position)
            found.append(ProcessedDelivery(received, _KOMPAR.validate(_KOMPAR.open("applications", {}, body))))
        ledger.store(found)


def _sizes(connection: Connection) -> dict[str, int]:
    return dict(connection.execute(_PARTS).fetchall())


if __name__ == "__main__":
    main(int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 20_000)
