"""What keeps an API from answering: too many calls, and failures on demand."""

from collections import deque
from threading import Lock

from app.sandbox.api.tokens import Clock


class Throttle:
    """Lets some calls through in any minute; threads may share it."""

    def __init__(self, clock: Clock, calls: int = 30, seconds: float = 60) -> None:
        self._clock = clock
        self._seconds = seconds
        self._recent: deque[float] = deque(maxlen=calls)
        self._lock = Lock()

    def lets_through(self) -> bool:
        """Tell whether there is room for a call now, and count it if so."""
        with self._lock:
            now = self._clock()
            if len(self._recent) == self._recent.maxlen and now - self._recent[0] < self._seconds:
                return False
            self._recent.append(now)
            return True


class Outage:
    """Failures that were asked for; threads may share it."""

    def __init__(self) -> None:
        self._left = 0
        self._lock = Lock()

    @property
    def left(self) -> int:
        """How many calls are still to fail."""
        return self._left

    def befall(self, calls: int) -> None:
        """Have the next so many calls fail."""
        with self._lock:
            self._left = calls

    def strikes(self) -> bool:
        """Tell whether this call is to fail."""
        with self._lock:
            self._left -= (struck := self._left > 0)
            return struck
