"""Runs the load generator in a process of its own, and judges whether it was the bottleneck."""

import atexit
import json
import shutil
import subprocess
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from benchmarks.statistics import curve

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


def post(  # noqa: PLR0913, PLR0917 - all of them describe one load
    url: str,
    headers: Mapping[str, str],
    bodies: Path,
    rate: float | None = None,
    warm: int = 0,
    connections: int = CONNECTIONS,
) -> Answers:
    """Post a file of bodies: as fast as they are answered, or over three times the connections at a fixed rate."""
    parts = urlsplit(url)
    prepared, times = bodies.with_suffix(".requests"), bodies.with_suffix(".times")
    with prepared.open("wb") as file:
        for request in _requests(parts, headers, bodies):
            file.write(len(request).to_bytes(4, "big") + request)
    where = [str(parts.hostname), str(parts.port or 80)]
    how = [str(connections * 3 if rate else connections), str(rate or 0), str(warm)]
    line = [_program(), *where, *how, str(prepared), str(times)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    statuses = {status: number for status, number in found.pop("statuses").items() if number}
    values = array("d", times.read_bytes())
    return Answers(**found, statuses=statuses, latency=curve(values[::2]), lateness=curve(values[1::2]))


@cache
def _program() -> str:
    """Compile the generator, and return its path."""
    if not shutil.which("cc"):
        raise SystemExit("a C compiler is missing, which builds the load generator: apt-get install gcc libc6-dev")
    folder = tempfile.TemporaryDirectory(prefix="kvitto-bench-")
    atexit.register(folder.cleanup)
    program = Path(folder.name) / "generator"
    subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("generator.c")], check=True)
    return str(program)


def _requests(url: SplitResult, headers: Mapping[str, str], bodies: Path) -> Iterator[bytes]:
    """Yield each body of a file (4 bytes of length before each) as a whole request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\n{lines}Content-Length: ".encode()
    with bodies.open("rb") as file:
        while length := int.from_bytes(file.read(4), "big"):
            yield b"%b%d\r\n\r\n%b" % (head, length, file.read(length))
