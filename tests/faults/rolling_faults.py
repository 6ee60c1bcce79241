"""A new release: ingest processes behind the shipped nginx, restarted one after the other."""

import tempfile
import time
from pathlib import Path

from tests.deploy.balancer import balancer
from tests.deploy.edges import edges
from tests.faults.fault_context import Fault, Scene


def _restart_in_turn(scene: Scene) -> None:
    """No delivery may notice: every try is answered 200 at once."""
    with (
        tempfile.TemporaryDirectory(prefix="kvitto-front-") as name,
        edges(Path(name), scene.kvitto.environment) as found,
        balancer(Path(name), [edge.address for edge in found]) as front,
    ):
        started = time.monotonic()
        with scene.load.traffic.through(f"https://{front.host}:{front.port}", front.context):
            for _ in scene.again(quick=1, full=3, every=1):
                assert [edge.restart() for edge in found] == [0, 0]
        statuses = [each.status for each in scene.load.tries if each.at >= started]
        failed = len(statuses) - statuses.count(200)
        assert not failed, f"{failed} of {len(statuses)} requests failed"


FAULTS = [Fault("edges behind nginx restarted in turn", _restart_in_turn)]
