"""Size: the bytes of an event in the ledger. `python -m benchmarks.size [EVENTS]` shows where they go.

An own Postgres, and applications of the usual size, stored by the ledger as a worker stores them.
"""

import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

from app.domain.high_water_mark import new_epoch
from app.storage.connection import Connection, connect
from app.storage.ledger import Ledger
from benchmarks import bodies, processed
from benchmarks.result_files import KVITTO, Record
from benchmarks.workload_size import Volume
from tests.support import databases, servers

FIGURE = "bytes in Postgres per event"
_BATCH = 500
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
        ledger.store([processed.application(document, epoch, next(numbers)) for document in batch])


def _sizes(connection: Connection) -> dict[str, int]:
    return dict(connection.execute(_PARTS).fetchall())


if __name__ == "__main__":
    main(int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 20_000)
