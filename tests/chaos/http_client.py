"""A sender: delivers one event after the other over a kept connection, each until it is answered 200.

The sandbox's dispatcher cannot stand in here: the suite needs the events of an entity in order, one switch that pauses
every sender, and senders that leave after the request without waiting for an answer. The requests are the sandbox's.
"""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from random import Random

from app.sandbox.workload import Step

# Seconds between attempts: the providers' schedules, compressed.
_WAITS = (0.05, 0.1, 0.2, 0.4)
_LAST_WAIT = 0.8
GIVE_UP_SECONDS = 180.0
# Kompar's own time-out.
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: `at` is monotonic; status 0 means no answer; `reason` is what an error answer gives."""

    step: Step
    at: float
    status: int
    receipt: str | None
    reason: str
    seconds: float


class Traffic:
    """What all senders share; tests may change the fields while they run.

    address: the server. trust: accepted certificates, if it serves HTTPS.
    hang_ups: share of attempts whose sender leaves without reading the answer.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.trust: ssl.SSLContext | None = None
        self.hang_ups = 0.0
        self._in_flight = 0
        self._is_paused = False
        self._changed = threading.Condition()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Send nothing for the duration of a block, which starts when every attempt has ended."""
        with self._changed:
            self._is_paused = True
            assert self._changed.wait_for(lambda: self._in_flight == 0, GIVE_UP_SECONDS), "attempts without an end"
        try:
            yield
        finally:
            with self._changed:
                self._is_paused = False
                self._changed.notify_all()

    @contextmanager
    def through(self, address: str, trust: ssl.SSLContext | None = None) -> Iterator[None]:
        """Deliver to another address for the duration of a block; no attempt meets both."""
        direct = self.address, self.trust
        with self.paused():
            self.address, self.trust = address, trust
        try:
            yield
        finally:
            with self.paused():
                self.address, self.trust = direct

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count an attempt for the duration of a block, which starts when no pause holds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_paused)
            self._in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()


class Sender:
    """Delivers one event after the other: an answer to one precedes the first attempt of the next."""

    def __init__(self, traffic: Traffic, name: str) -> None:
        self._traffic = traffic
        self._connection: http.client.HTTPConnection | None = None
        self._address = ""
        self._random = Random(name)
        self.attempts: list[Attempt] = []
        self.accepted = 0
        self.given_up = 0

    def deliver(self, step: Step) -> Attempt:
        """Repeat until an attempt is answered with exactly 200; return it, or the last one if none ever is."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        for number, wait in enumerate(chain(_WAITS, repeat(_LAST_WAIT)), 1):
            attempt = self._send(step, number)
            self.attempts.append(attempt)
            if attempt.status == 200:
                self.accepted += 1
                break
            if time.monotonic() > deadline:
                self.given_up += 1
                break
            time.sleep(wait)
        return attempt

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _send(self, step: Step, number: int) -> Attempt:
        request = step.hook.request(step.event, number, step.fault)
        with self._traffic.in_flight():
            started = time.monotonic()
            try:
                status, answer = self._exchange(step.hook.url, request.content, request.headers)
            except (OSError, http.client.HTTPException):
                self.close()
                status, answer = 0, {}
            seconds = time.monotonic() - started
            return Attempt(step, started, status, answer.get("receipt"), answer.get("reason", ""), seconds)

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        connection = self._connected()
        connection.request("POST", path, body, dict(headers))
        if self._random.random() < self._traffic.hang_ups:
            connection.close()
            return 0, {}
        response = connection.getresponse()
        text = response.read()
        is_json = response.headers.get_content_subtype() in ("json", "problem+json")
        return response.status, json.loads(text) if is_json else {}

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None or self._address != self._traffic.address:
            self.close()
            self._address = self._traffic.address
            scheme, _, host = self._address.partition("://")
            if scheme == "https":
                trust = self._traffic.trust
                self._connection = http.client.HTTPSConnection(host, timeout=_TIMEOUT_SECONDS, context=trust)
            else:
                self._connection = http.client.HTTPConnection(host, timeout=_TIMEOUT_SECONDS)
        return self._connection
