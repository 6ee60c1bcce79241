"""A new release: ingest processes behind the shipped Caddy, restarted one after the other."""

import tempfile
import time
from pathlib import Path

from tests.chaos.fault_context import Fault, FaultContext
from tests.e2e.deploy.balancer import balancer
from tests.e2e.deploy.edges import edges


def _restart_in_turn(context: FaultContext) -> None:
    """Restart both; no delivery may notice: every attempt is answered 200."""
    with (
        tempfile.TemporaryDirectory(prefix="kvitto-front-") as name,
        edges(Path(name), context.kvitto.environment) as running,
        balancer(Path(name), [edge.address for edge in running]) as front,
    ):
        started = time.monotonic()
        with context.load.traffic.through(f"https://{front.host}:{front.port}", front.context):
            for _ in context.repeat(quick=1, full=3, every=1):
                assert [edge.restart() for edge in running] == [0, 0]
        attempts = [attempt for attempt in context.load.attempts if attempt.at >= started]
        failed = [(attempt.status, f"{attempt.seconds:.3f} s") for attempt in attempts if attempt.status != 200]
        assert not failed, f"{len(failed)} of {len(attempts)} requests failed: {failed[:5]}\n{front.log.read_text()}"


FAULTS = [Fault("edges behind the balancer restarted in turn", _restart_in_turn)]
