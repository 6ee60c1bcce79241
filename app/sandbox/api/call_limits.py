"""What keeps an API from answering normally: too many calls, and failures on demand."""

from collections import deque
from threading import Lock

from app.sandbox.api.bearer_tokens import Clock


class RateLimiter:
    """Allows some calls within any minute; threads may share it."""

    def __init__(self, clock: Clock, calls: int = 30, seconds: float = 60) -> None:
        self._clock = clock
        self._seconds = seconds
        self._recent: deque[float] = deque(maxlen=calls)
        self._lock = Lock()

    def allow(self) -> bool:
        """Return whether a call is within the limit now, and count it if it is."""
        with self._lock:
            now = self._clock()
            if len(self._recent) == self._recent.maxlen and now - self._recent[0] < self._seconds:
                return False
            self._recent.append(now)
            return True


class Outage:
    """Failures on demand; threads may share it."""

    def __init__(self) -> None:
        self._left = 0
        self._lock = Lock()

    @property
    def left(self) -> int:
        """How many calls are still to fail."""
        return self._left

    def arm(self, calls: int) -> None:
        """Make the next calls fail."""
        with self._lock:
            self._left = calls

    def should_fail(self) -> bool:
        """Return whether this call must fail, and count it if so."""
        with self._lock:
            self._left -= (fails := self._left > 0)
            return fails
