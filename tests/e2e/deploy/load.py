"""Deliveries without a pause, for as long as a block lasts."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Event
from app.sandbox.kompar import KomparHook, encrypt
from tests.e2e.deploy.balancer import Balancer
from tests.support.providers.kompar_fixtures import KEY, TOKEN
from tests.support.servers import eventually

PATH = "/webhooks/kompar/applications"
HEADERS = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
DOCUMENT = {"application_id": "under-load"}
BODY = encrypt(DOCUMENT, KEY)


def deliver(
    client: httpx.Client, body: bytes | Iterator[bytes] = BODY, headers: Mapping[str, str] = HEADERS
) -> httpx.Response:
    """Deliver as Kompar would."""
    return client.post(PATH, content=body, headers=HEADERS | dict(headers))


class Load:
    """Counts the answers to deliveries of the sandbox's dispatcher, by status; 0 is no answer."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()

    def await_more(self, count: int) -> None:
        """Wait for so many further answers of 200."""
        wanted = self.answers[200] + count
        eventually(lambda: self.answers[200] >= wanted, f"{count} more deliveries accepted: {self.answers}")


@contextmanager
def load(balancer: Balancer, concurrency: int = 8) -> Iterator[Load]:
    """Keep so many deliveries under way during a block, without retries; at its end every answer has been counted."""
    hook = KomparHook(f"https://{balancer.host}:{balancer.port}{PATH}", "applications", TOKEN, KEY, waits=())
    event = Event("under-load", "applications", "under-load", DOCUMENT)
    running, ended = Load(), threading.Event()

    def count(attempt: DeliveryAttempt) -> None:
        running.answers[attempt.status] += 1
        if not ended.is_set():
            dispatcher.send(hook, event)

    with Dispatcher(count, trust=balancer.context, concurrency=concurrency) as dispatcher:
        for _ in range(concurrency):
            dispatcher.send(hook, event)
        try:
            running.await_more(20)
            yield running
        finally:
            ended.set()
            assert dispatcher.wait(60), "deliveries without an answer"
