"""Deliveries without a pause, for as long as a block lasts."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from app.sandbox.kompar import encrypt
from tests.deploy.balancer import Balancer
from tests.providers.kompar_fixtures import KEY, TOKEN
from tests.servers import eventually

PATH = "/webhooks/kompar/applications"
HEADERS = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
BODY = encrypt({"application_id": "under-load"}, KEY)


def deliver(
    client: httpx.Client, body: bytes | Iterator[bytes] = BODY, headers: Mapping[str, str] = HEADERS
) -> httpx.Response:
    """Deliver as Kompar would."""
    return client.post(PATH, content=body, headers=HEADERS | dict(headers))


class Load:
    """Senders that count what they are answered, by status or by the name of what failed."""

    def __init__(self, balancer: Balancer, senders: int) -> None:
        self.answers: Counter[int | str] = Counter()
        self._balancer = balancer
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]

    def start(self) -> None:
        """Start, and wait for the first answers."""
        for thread in self._threads:
            thread.start()
        self.await_more(20)

    def await_more(self, count: int) -> None:
        """Wait for so many further answers of 200."""
        wanted = self.answers[200] + count
        eventually(lambda: self.answers[200] >= wanted, f"{count} more deliveries taken: {self.answers}")

    def stop(self) -> None:
        """Stop, and wait for what is under way."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with self._balancer.client() as client:
            while not self._ended.is_set():
                try:
                    self.answers[deliver(client).status_code] += 1
                except httpx.TransportError as error:
                    self.answers[type(error).__name__] += 1


@contextmanager
def load(balancer: Balancer, senders: int = 8) -> Iterator[Load]:
    """Deliver all the time during a block; at its end every answer has been counted."""
    found = Load(balancer, senders)
    try:
        found.start()
        yield found
    finally:
        found.stop()
