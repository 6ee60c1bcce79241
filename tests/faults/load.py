"""The load: both providers at once, over connections that are kept, until every event is answered 200."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from random import Random

from app.sandbox.kompar import encrypt
from app.sandbox.solaris import sign
from tests.faults.stories import Event, stories
from tests.providers.kompar_side import TOKEN
from tests.providers.solaris_side import SECRETS
from tests.servers import eventually

LANES = 16
# Seconds between tries: the providers' schedules, compressed.
_WAITS = (0.05, 0.1, 0.2, 0.4)
_LAST_WAIT = 0.8
_GIVE_UP_SECONDS = 180.0
# Kompar's own patience.
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Try:
    """One request: `at` is monotonic; status 0 means that no answer came."""

    event: Event
    at: float
    status: int
    receipt: str | None
    seconds: float


class Lane:
    """Delivers one event after the other; what was answered follows what was answered before it."""

    def __init__(self, load: "Load", name: str) -> None:
        self._load = load
        self._connection: http.client.HTTPConnection | None = None
        self._address = ""
        self._random = Random(name)
        self.tries: list[Try] = []
        self.accepted = 0
        self.given_up = 0

    def deliver(self, event: Event) -> Try:
        """Try until a try is answered with exactly 200; return that try, or the last if none ever is."""
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        for attempt, wait in enumerate(chain(_WAITS, repeat(_LAST_WAIT)), 1):
            done = self._send(event, attempt)
            self.tries.append(done)
            if done.status == 200:
                self.accepted += 1
                break
            if time.monotonic() > deadline:
                self.given_up += 1
                break
            time.sleep(wait)
        return done

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _send(self, event: Event, attempt: int) -> Try:
        path, body, headers = request(event, attempt)
        with self._load.in_flight():
            started = time.monotonic()
            try:
                status, receipt = self._exchange(path, body, headers)
            except (OSError, http.client.HTTPException):
                self.close()
                status, receipt = 0, None
            return Try(event, started, status, receipt, time.monotonic() - started)

    def _exchange(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
        connection = self._connected()
        connection.request("POST", path, body, headers)
        if self._random.random() < self._load.hang_ups:
            connection.close()
            return 0, None
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text)["receipt"] if answer.status == 200 else None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None or self._address != self._load.address:
            self.close()
            self._address = self._load.address
            self._connection = http.client.HTTPConnection(
                self._address.removeprefix("http://"), timeout=_PATIENCE_SECONDS
            )
        return self._connection


class Load:
    """Many lanes at once. `rate`: deliveries a second at most. Tests may turn its knobs while it runs.

    address: where to deliver to; hang_ups: share of tries whose sender goes away without reading the answer.
    """

    def __init__(self, address: str, seed: str, name: str, rate: float) -> None:
        self.address = address
        self.hang_ups = 0.0
        self._pause = LANES / rate
        self._flying = 0
        self._counting = threading.Lock()
        self._gate = threading.Event()
        self._gate.set()
        self._ending = threading.Event()
        self._lanes = [Lane(self, f"{seed}/{name}/{number}") for number in range(LANES)]
        self._threads = [
            threading.Thread(target=self._run, args=(lane, seed, f"{name}/{number}"), daemon=True)
            for number, lane in enumerate(self._lanes)
        ]
        self.by_hand = Lane(self, "by hand")

    @property
    def accepted(self) -> int:
        """How many were answered 200 so far."""
        return sum(lane.accepted for lane in self._lanes)

    @property
    def tries(self) -> list[Try]:
        """Every try so far, those of one entity in order."""
        return [each for lane in (*self._lanes, self.by_hand) for each in lane.tries]

    @property
    def given_up(self) -> int:
        """How many events were never answered 200, in all the time that a provider might take."""
        return sum(lane.given_up for lane in (*self._lanes, self.by_hand))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def reach(self, accepted: int) -> None:
        """Wait until so many were answered 200."""
        eventually(lambda: self.accepted >= accepted, f"{accepted} answered 200", _GIVE_UP_SECONDS)

    def end(self) -> None:
        """Let every story come to its end."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Close what is used by hand."""
        self.by_hand.close()

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Send nothing for the duration of a block, beginning when every try has ended."""
        self._gate.clear()
        try:
            eventually(lambda: self._flying == 0, "nothing on its way")
            yield
        finally:
            self._gate.set()

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a try that is on its way."""
        self._gate.wait()
        with self._counting:
            self._flying += 1
        try:
            yield
        finally:
            with self._counting:
                self._flying -= 1

    def _run(self, lane: Lane, seed: str, name: str) -> None:
        due = time.monotonic()
        for story in stories(seed, name):
            for event in story:
                due = max(due + self._pause, time.monotonic() - 1)  # catches up on a second at most
                time.sleep(max(0.0, due - time.monotonic()))
                lane.deliver(event)
            if self._ending.is_set():
                break
        lane.close()


def request(event: Event, attempt: int) -> tuple[str, bytes, dict[str, str]]:
    """Return path, body and headers as the provider makes them, encrypted anew each time."""
    if event.provider == "kompar":
        body = encrypt(event.document, event.key) if event.key else json.dumps(dict(event.document)).encode()
        return f"/webhooks/kompar/{event.event_type}", body, {"Authorization": f"token {TOKEN}"}
    body = json.dumps(dict(event.document)).encode()
    headers = {
        "Solaris-Webhook-Id": event.webhook_id or "",
        "Solaris-Webhook-Event-Type": event.event_type,
        "Solaris-Webhook-Attempt": str(attempt),
        "Solaris-Webhook-Signature": sign(SECRETS[event.event_type], body),
        "Solaris-Entity-Id": event.entity_id,
    }
    return "/webhooks/solaris", body, headers
