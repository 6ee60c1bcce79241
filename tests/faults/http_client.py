"""A lane: delivers one event after the other over a connection that is kept, each until it is answered 200."""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from random import Random

from tests.faults.scenarios import Event
from tests.faults.wire import request

# Seconds between tries: the providers' schedules, compressed.
_WAITS = (0.05, 0.1, 0.2, 0.4)
_LAST_WAIT = 0.8
GIVE_UP_SECONDS = 180.0
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


class Traffic:
    """What all lanes share. Tests may turn its knobs while they run.

    address: where to deliver to; trust: how its certificate is judged, if it has one; hang_ups: share of tries whose
    sender goes away without reading the answer.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.trust: ssl.SSLContext | None = None
        self.hang_ups = 0.0
        self._flying = 0
        self._silent = False
        self._changed = threading.Condition()

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Send nothing for the duration of a block, beginning when every try has ended."""
        with self._changed:
            self._silent = True
            assert self._changed.wait_for(lambda: self._flying == 0, GIVE_UP_SECONDS), "tries without an end"
        try:
            yield
        finally:
            with self._changed:
                self._silent = False
                self._changed.notify_all()

    @contextmanager
    def through(self, address: str, trust: ssl.SSLContext | None = None) -> Iterator[None]:
        """Deliver to another address for the duration of a block; every try meets one of them from start to end."""
        direct = self.address, self.trust
        with self.silence():
            self.address, self.trust = address, trust
        try:
            yield
        finally:
            with self.silence():
                self.address, self.trust = direct

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a try that is on its way; it begins when silence is over."""
        with self._changed:
            self._changed.wait_for(lambda: not self._silent)
            self._flying += 1
        try:
            yield
        finally:
            with self._changed:
                self._flying -= 1
                self._changed.notify_all()


class Lane:
    """Delivers one event after the other; what was answered follows what was answered before it."""

    def __init__(self, traffic: Traffic, name: str) -> None:
        self._traffic = traffic
        self._connection: http.client.HTTPConnection | None = None
        self._address = ""
        self._random = Random(name)
        self.tries: list[Try] = []
        self.accepted = 0
        self.given_up = 0

    def deliver(self, event: Event) -> Try:
        """Try until a try is answered with exactly 200; return that try, or the last if none ever is."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
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
        with self._traffic.in_flight():
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
        if self._random.random() < self._traffic.hang_ups:
            connection.close()
            return 0, None
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text)["receipt"] if answer.status == 200 else None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None or self._address != self._traffic.address:
            self.close()
            self._address = self._traffic.address
            self._connection = _connection(self._address, self._traffic.trust)
        return self._connection


def _connection(address: str, trust: ssl.SSLContext | None) -> http.client.HTTPConnection:
    scheme, _, host = address.partition("://")
    if scheme == "https":
        return http.client.HTTPSConnection(host, timeout=_PATIENCE_SECONDS, context=trust)
    return http.client.HTTPConnection(host, timeout=_PATIENCE_SECONDS)
