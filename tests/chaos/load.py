"""The load: both providers at once, every event until it is answered 200, the same events for the same seed."""

import threading
import time

from tests.chaos.http_client import GIVE_UP_SECONDS, Attempt, Sender, Traffic
from tests.chaos.scenarios import scenarios
from tests.support.servers import eventually

SENDERS = 16


class Load:
    """Many senders at once. `rate`: deliveries per second, at most."""

    def __init__(self, address: str, seed: str, name: str, rate: float) -> None:
        self.traffic = Traffic(address)
        self._pause = SENDERS / rate
        self._ending = threading.Event()
        self._senders = [Sender(self.traffic, f"{seed}/{name}/{number}") for number in range(SENDERS)]
        self._threads = [
            threading.Thread(target=self._run, args=(sender, seed, f"{name}/{number}"), daemon=True)
            for number, sender in enumerate(self._senders)
        ]
        # For deliveries of the test itself.
        self.extra = Sender(self.traffic, "extra")

    @property
    def accepted(self) -> int:
        """How many were answered 200 so far."""
        return sum(sender.accepted for sender in self._senders)

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt so far, those of one entity in order."""
        return [attempt for sender in (*self._senders, self.extra) for attempt in sender.attempts]

    @property
    def given_up(self) -> int:
        """How many events were never answered 200 before the deadline."""
        return sum(sender.given_up for sender in (*self._senders, self.extra))

    def start(self) -> None:
        """Start sending."""
        for thread in self._threads:
            thread.start()

    def await_accepted(self, count: int) -> None:
        """Wait until so many were answered 200."""
        eventually(lambda: self.accepted >= count, f"{count} answered 200", GIVE_UP_SECONDS)

    def finish(self) -> None:
        """Let every scenario run to its end."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Close the extra sender."""
        self.extra.close()

    def _run(self, sender: Sender, seed: str, name: str) -> None:
        due = time.monotonic()
        for scenario in scenarios(seed, name):
            for step in scenario:
                due = max(due + self._pause, time.monotonic() - 1)  # catches up on a second at most
                time.sleep(max(0.0, due - time.monotonic()))
                sender.deliver(step)
            if self._ending.is_set():
                break
        sender.close()
