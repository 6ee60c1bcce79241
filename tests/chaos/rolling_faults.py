"""A new release: ingest processes behind the shipped Caddy, restarted one after the other."""

import tempfile
import time
from pathlib import Path

from tests.chaos.fault_context import Fault, FaultContext
from tests.e2e.deploy.balancer import balancer
from tests.e2e.deploy.edges import edges

# Ingest's answers while no store confirms in time. A restart causes none of them; a busy machine does.
_STORES_TOO_SLOW = {"redis-unreachable", "postgres-unavailable", "unresponsive"}


def _restart_in_turn(context: FaultContext) -> None:
    """Restart both; no delivery may notice: every attempt is answered 200."""
    # `kvitto up` has no balancer, so its own ingest does not drain.
    environment = context.kvitto.environment | {"DRAIN_SECONDS": "5"}
    with (
        tempfile.TemporaryDirectory(prefix="kvitto-front-") as name,
        edges(Path(name), environment) as running,
        balancer(Path(name), [edge.address for edge in running]) as front,
    ):
        started = time.monotonic()
        with context.load.traffic.through(f"https://{front.host}:{front.port}", front.context):
            for _ in context.repeat(quick=1, full=3, every=1):
                assert [edge.restart() for edge in running] == [0, 0]
        attempts = [attempt for attempt in context.load.attempts if attempt.at >= started]
        failed = [each for each in attempts if each.status != 200 and each.reason not in _STORES_TOO_SLOW]
        shown = [(each.status, each.reason, f"{each.seconds:.3f} s") for each in failed[:5]]
        assert not failed, f"{len(failed)} of {len(attempts)} requests failed: {shown}\n{_problems(Path(name))}"


def _problems(folder: Path) -> str:
    """Return what the balancer and the edges logged, without the requests that were answered 200."""
    lines = [line for log in sorted(folder.glob("*.log")) for line in log.read_text().splitlines()]
    return "\n".join(line for line in lines if '"status":200' not in line)


FAULTS = [Fault("edges behind the balancer restarted in turn", _restart_in_turn)]
