"""Runs the load generator in a process of its own, and judges whether it was the bottleneck."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.generator import Job

# Above this share of a core, or this late by its own fault, it measures itself.
_BUSY_SHARE = 0.9
_LATE_SECONDS = 0.005
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of a load: answers by status, answers a second, percentiles of seconds keyed by their share.

    `began_at`: seconds since 1970.
    """

    posted: int
    statuses: Mapping[str, int]
    rate: float
    began_at: float
    seconds: float
    cpu_share: float
    latency: Mapping[str, float]
    lateness: Mapping[str, float]

    @property
    def accepted(self) -> int:
        """How many were answered 200."""
        return self.statuses.get("200", 0)

    @property
    def bottleneck(self) -> str | None:
        """Why the generator itself may be what was measured; None if it was not."""
        if self.cpu_share > _BUSY_SHARE:
            return f"the generator used {self.cpu_share:.0%} of a core"
        late = self.lateness.get("0.99", 0.0)
        return f"the generator was {late * 1000:.0f} ms late at p99" if late > _LATE_SECONDS else None

    def milliseconds(self, share: float) -> float:
        """Return a percentile of the latencies."""
        return self.latency[str(share)] * 1000


def post(url: str, headers: Mapping[str, str], bodies: Path, rate: float | None = None, warm: int = 0) -> Answers:
    """Post a file of bodies: at a fixed rate, or over CONNECTIONS as fast as they are answered."""
    parts = urlsplit(url)
    job = Job(
        host=str(parts.hostname),
        port=parts.port or 80,
        path=parts.path or "/",
        headers=dict(headers),
        bodies=str(bodies),
        connections=CONNECTIONS * 3 if rate else CONNECTIONS,
        rate=rate,
        warm=warm,
    )
    order = bodies.with_suffix(".json")
    order.write_text(json.dumps(asdict(job)), encoding="utf-8")
    line = [sys.executable, "-m", "benchmarks.generator", str(order)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    return Answers(**json.loads(done.stdout))
