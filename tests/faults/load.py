"""The load: both providers at once, every event until it is answered 200, the same events for the same seed."""

import threading
import time

from tests.faults.http_client import GIVE_UP_SECONDS, Lane, Traffic, Try
from tests.faults.scenarios import stories
from tests.servers import eventually

LANES = 16


class Load:
    """Many lanes at once. `rate`: deliveries a second at most."""

    def __init__(self, address: str, seed: str, name: str, rate: float) -> None:
        self.traffic = Traffic(address)
        self._pause = LANES / rate
        self._ending = threading.Event()
        self._lanes = [Lane(self.traffic, f"{seed}/{name}/{number}") for number in range(LANES)]
        self._threads = [
            threading.Thread(target=self._run, args=(lane, seed, f"{name}/{number}"), daemon=True)
            for number, lane in enumerate(self._lanes)
        ]
        self.by_hand = Lane(self.traffic, "by hand")

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
        eventually(lambda: self.accepted >= accepted, f"{accepted} answered 200", GIVE_UP_SECONDS)

    def end(self) -> None:
        """Let every story come to its end."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Close what is used by hand."""
        self.by_hand.close()

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
