"""Runs `kvitto sandbox serve` as its user would, and calls it over HTTPS."""

import os
import signal
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from app.audit.attempt_log import DeliveryAttempt, read
from tests.support.command_server import Command
from tests.support.servers import bare_environment, eventually


@dataclass(slots=True)
class Served:
    """A running sandbox; `log` is where its errors go."""

    process: Command
    output: IO[str]
    data: Path
    kompar: str
    solaris: str
    authority: str
    log: Path

    def client(self) -> httpx.Client:
        """Return a client that trusts the sandbox's authority and no other."""
        return httpx.Client(verify=ssl.create_default_context(cafile=self.authority), timeout=60)

    def secret(self, name: str) -> str:
        """Return what the sandbox keeps for its clients."""
        return (self.data / "sandbox" / name).read_text()

    def bearer(self, client: httpx.Client) -> dict[str, str]:
        """Log in at Kompar's API."""
        login = self.secret("KOMPAR_API_USERNAME"), self.secret("KOMPAR_API_PASSWORD")
        token = client.get(f"{self.kompar}/token", auth=login).raise_for_status().json()["token"]
        return {"Authorization": f"Bearer {token}"}

    def register(self, topic: str, url: str) -> None:
        """Register a receiver at Kompar's API."""
        with self.client() as client:
            path = f"{self.kompar}/webhooks/{topic}"
            client.post(path, json={"url": url}, headers=self.bearer(client)).raise_for_status()

    def send(self, topic: str, count: int = 1) -> None:
        """Have Kompar send."""
        with self.client() as client:
            fields = {"topic": topic, "count": count}
            client.post(f"{self.kompar}/sandbox/send", json=fields).raise_for_status()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit status."""
        self.process.send_signal(how)
        return self.process.wait(60)


@contextmanager
def served(data: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Serve the sandbox from a data folder, on any port."""
    log = data.with_suffix(".log")
    arguments = ("--data", str(data), "sandbox", "serve", "--bind", "127.0.0.1:0", *options)
    read, write = os.pipe()
    with open(read, encoding="utf-8") as output:
        with open(os.devnull, "rb") as nothing, log.open("ab") as errors, open(write, "wb") as written:
            streams = [each.fileno() for each in (nothing, written, errors)]
            process = Command(arguments, bare_environment() | dict(environment or {}), None, streams)
        try:
            line = output.readline().split()
            assert line[:3] == ["kvitto", "sandbox", "ready"], log.read_text()
            yield Served(process, output, data, **dict(item.split("=", 1) for item in line[3:]), log=log)
        finally:
            process.terminate()
            process.wait()


def tries(record: Path, attempt: int, count: int, seconds: float = 60) -> list[DeliveryAttempt]:
    """Wait until a record has so many tries that are their event's first, second, …; return all of its tries."""
    found: list[DeliveryAttempt] = []

    def come() -> bool:
        found[:] = read(record) if record.exists() and record.read_text().endswith("\n") else []
        return sum(each.attempt == attempt for each in found) == count

    eventually(come, f"{count} times attempt {attempt} in the record", seconds)
    return found
