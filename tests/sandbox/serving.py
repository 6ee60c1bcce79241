"""Runs `kvitto sandbox serve` as its user would, and asks it for events."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.recording import Try, read
from app.trust import trusting
from tests.running import command
from tests.servers import bare_environment


@dataclass(slots=True)
class Served:
    """A running sandbox: the base URLs of its APIs, and what it records."""

    kompar: str
    solaris: str
    record: Path
    client: httpx.Client

    def send(self, base: str, **fields: Any) -> httpx.Response:
        """Have it deliver a made-up event to whoever subscribes at an API."""
        return self.client.post(f"{base}/sandbox/send", json=fields)

    def look(self) -> dict[str, Any]:
        """Return what it knows of itself."""
        found: dict[str, Any] = self.client.get(httpx.URL(self.kompar).copy_with(path="/sandbox")).json()
        return found

    def tries(self, event: str) -> list[Try]:
        """Return the tries of an event so far."""
        return [each for each in read(self.record) if each.event == event] if self.record.exists() else []


@contextmanager
def served(data: Path, *options: str) -> Iterator[Served]:
    """Serve on a data folder for the duration of a block."""
    record = data.parent / "tries.jsonl"
    process = subprocess.Popen(
        command("--data", str(data), "sandbox", "serve", "--bind", "127.0.0.1:0", "--record", str(record), *options),
        env=bare_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout as said:
        try:
            line = said.readline().split()
            assert line[:3] == ["kvitto", "sandbox", "ready"], line
            addresses = dict(item.split("=", 1) for item in line[3:])
            with httpx.Client(verify=trusting(addresses["authority"]), timeout=30) as client:
                yield Served(addresses["kompar"], addresses["solaris"], record, client)
        finally:
            process.terminate()
            assert process.wait(30) == 0
