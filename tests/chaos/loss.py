"""The one loss that nothing can prevent: a Redis that loses its data. The audit must report every entry."""

from pathlib import Path
from random import Random
from signal import SIGKILL

from tests.chaos.fault_context import audit
from tests.chaos.load import Load
from tests.chaos.process_control import WORKERS, frozen, send
from tests.chaos.redis_faults import empty
from tests.chaos.scenarios import application
from tests.support import process_tree
from tests.support.kvitto_process import running
from tests.support.servers import eventually

ENTRIES = 50


def reported_loss(folder: Path) -> tuple[int, int]:
    """Empty a Redis with ENTRIES in flight; return the audit's status and how many entries it reports missing."""
    with running(folder / "data") as kvitto:
        eventually(lambda: len(process_tree.named(kvitto.process.pid, *WORKERS)) == 6, "all workers")
        load = Load(kvitto.ingest, "loss", "loss", rate=1)
        workers = process_tree.named(kvitto.process.pid, *WORKERS)
        with frozen(*workers):
            for number in range(ENTRIES):
                load.extra.deliver(application(Random(number), f"loss/{number}"))
            _, rows = audit(kvitto)
            assert sum(row["in_flight"] for row in rows) == ENTRIES
            empty(kvitto)
            send(SIGKILL, *workers)  # loses what a worker had claimed into its memory
        load.close()
        eventually(lambda: bool(audit(kvitto)[1]), "an audit")
        status, rows = audit(kvitto)
        return status, sum(row["missing"] for row in rows)
