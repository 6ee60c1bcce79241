"""The load: posts prepared bodies, one process and one thread, `python -m benchmarks.generator JOB.json`.

Closed: every connection posts as soon as it was answered. Open: the n-th post is due at a fixed time whatever became
of those before it, and its latency counts from then: a server that stalls is not spared the posts that it delays.
Beside the answers it says what would make it the bottleneck: its share of a core, and how late it was by its own
fault, with a connection at hand.
"""

import gc
import json
import mmap
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.statistics import curve

_PORTION = 1 << 18


@dataclass(frozen=True, slots=True)
class Job:
    """What to post where. `rate`: posts a second, none for closed; `warm`: so many first posts do not count."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    bodies: str
    connections: int
    rate: float | None
    warm: int


@dataclass(slots=True, eq=False)
class Connection:
    """A connection, and the post that is on its way: which, when it was due, what is left of it to send or read."""

    address: tuple[str, int]
    wire: socket.socket | None = None
    number: int = 0
    due: float = 0.0
    free_since: float = 0.0
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    answer: bytes = b""

    def open(self) -> socket.socket:
        """Connect if need be: some servers close after every answer."""
        if self.wire is None:
            self.wire = socket.create_connection(self.address, timeout=10)
            self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.wire.setblocking(False)
        return self.wire

    def close(self) -> None:
        """Close; the next post makes a new connection."""
        if self.wire is not None:
            self.wire.close()
            self.wire = None


class Generator:
    """Posts every body once."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._posts = list(posts(job))
        self._selector = selectors.DefaultSelector()
        self._idle = deque(Connection((job.host, job.port)) for _ in range(job.connections))
        self._next = 0
        self._answered = 0
        self._due: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._latencies: list[float] = []
        self._lateness: list[float] = []

    def run(self) -> dict[str, Any]:
        """Post, and return what came of it; times in seconds."""
        for connection in self._idle:
            connection.open()
        gc.collect()
        gc.disable()
        began_at, began, at = time.time(), time.process_time(), time.perf_counter()
        counted = at + self._job.warm / self._job.rate if self._job.rate else at
        self._due = [at + number / self._job.rate for number in range(len(self._posts))] if self._job.rate else []
        while self._answered < len(self._posts):
            self._start_due()
            self._serve()
            if not self._job.rate and self._answered <= self._job.warm:
                counted = time.perf_counter()
        ended = time.perf_counter()
        return {
            "posted": len(self._posts),
            "statuses": dict(self._statuses),
            "rate": (len(self._posts) - self._job.warm) / (ended - counted),
            "began_at": began_at,
            "seconds": ended - at,
            "cpu_share": (time.process_time() - began) / (ended - at),
            "latency": curve(self._latencies),
            "lateness": curve(self._lateness),
        }

    def _start_due(self) -> None:
        now = time.perf_counter()
        while self._idle and self._next < len(self._posts) and (not self._due or self._due[self._next] <= now):
            connection = self._idle.popleft()  # in turn, as a balancer does
            connection.number = self._next
            connection.due = self._due[self._next] if self._due else now
            self._next += 1
            if connection.number >= self._job.warm:
                self._lateness.append(now - max(connection.due, connection.free_since))
            self._post(connection)
            now = time.perf_counter()

    def _post(self, connection: Connection) -> None:
        connection.unsent, connection.answer = memoryview(self._posts[connection.number]), b""
        self._selector.register(connection.open(), selectors.EVENT_READ, connection)
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        wire = connection.open()
        try:
            while connection.unsent:
                connection.unsent = connection.unsent[wire.send(connection.unsent) :]
            self._selector.modify(wire, selectors.EVENT_READ, connection)
        except BlockingIOError:
            self._selector.modify(wire, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)
        except OSError:  # answered and closed before all was read: the answer is there to be read
            connection.unsent = memoryview(b"")
            self._selector.modify(wire, selectors.EVENT_READ, connection)

    def _serve(self) -> None:
        for key, events in self._selector.select(self._wait()):
            if events & selectors.EVENT_WRITE:
                self._send(key.data)
            if events & selectors.EVENT_READ:
                self._read(key.data)

    def _wait(self) -> float | None:
        if not self._due or not self._idle or self._next == len(self._posts):
            return None
        return max(0.0, self._due[self._next] - time.perf_counter())

    def _read(self, connection: Connection) -> None:
        try:
            portion = connection.open().recv(_PORTION)
        except BlockingIOError:
            return
        except OSError:
            portion = b""
        connection.answer += portion
        if not portion or _is_whole(connection.answer):
            self._finish(connection, cut=not portion)

    def _finish(self, connection: Connection, cut: bool) -> None:
        now = time.perf_counter()
        self._statuses[connection.answer[9:12].decode() or "none"] += 1
        if connection.number >= self._job.warm:
            self._latencies.append(now - connection.due)
        self._answered += 1
        self._selector.unregister(connection.open())
        # What was not sent to its end cannot be followed by another post.
        if cut or connection.unsent or b"connection: close" in connection.answer.lower():
            connection.close()
        connection.free_since = now
        self._idle.append(connection)


def _is_whole(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    _, _, length = head.lower().partition(b"content-length:")
    return len(body) >= int(length.partition(b"\r\n")[0] or 0)


def posts(job: Job) -> Iterator[bytes]:
    """Yield each body of the job's file (4 bytes of length before each) as a whole request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in job.headers.items())
    head = f"POST {job.path} HTTP/1.1\r\nHost: {job.host}:{job.port}\r\n{lines}Content-Length: ".encode()
    with (
        Path(job.bodies).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as found,
    ):
        while length := int.from_bytes(found.read(4), "big"):
            yield b"%b%d\r\n\r\n%b" % (head, length, found.read(length))


if __name__ == "__main__":
    print(json.dumps(Generator(Job(**json.loads(Path(sys.argv[1]).read_text()))).run()))
