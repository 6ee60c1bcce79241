"""Deliveries at a constant rate, for as long as a block lasts."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat, takewhile

import httpx

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Event
from app.sandbox.kompar import KomparHook, encrypt
from app.sandbox.send_load import send_at_rate
from app.sandbox.workload import Step
from tests.deploy.balancer import Balancer
from tests.providers.kompar_fixtures import KEY, TOKEN
from tests.servers import eventually

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
    """Deliveries of the sandbox's dispatcher without retries; `answers` counts them by status, 0 for no answer."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()

    def count(self, attempt: DeliveryAttempt) -> None:
        """Count an answer."""
        self.answers[attempt.status] += 1

    def await_more(self, count: int) -> None:
        """Wait for so many further answers of 200."""
        wanted = self.answers[200] + count
        eventually(lambda: self.answers[200] >= wanted, f"{count} more deliveries accepted: {self.answers}")


@contextmanager
def load(balancer: Balancer, rate: float = 200, concurrency: int = 8) -> Iterator[Load]:
    """Deliver at a rate, per second, during a block; at its end every answer has been counted."""
    url = f"https://{balancer.host}:{balancer.port}{PATH}"
    step = Step(KomparHook(url, "applications", TOKEN, KEY, waits=()), Event("e", "applications", "e", DOCUMENT))
    running, ended = Load(), threading.Event()
    with Dispatcher(running.count, trust=balancer.context, concurrency=concurrency) as dispatcher:
        plan = takewhile(lambda _: not ended.is_set(), repeat(step))
        sender = threading.Thread(target=send_at_rate, args=(dispatcher, plan, rate, 3600, lambda _: None))
        sender.start()
        try:
            running.await_more(20)
            yield running
        finally:
            ended.set()
            sender.join()
            assert dispatcher.wait(30), "deliveries without an answer"
