"""The one clock that orders deliveries, whichever store keeps them: Postgres' clock, as this edge knows it."""

import threading
import time
from collections import defaultdict
from datetime import datetime

# An answer that took longer says too little about when Postgres read its clock.
_PROMPT_SECONDS = 0.1


class ReceiptClock:
    """Returns times of receipt, in milliseconds since 1970.

    They follow Postgres' clock, and are never before a provider's newest known receipt. Until Postgres answers, this
    machine's clock is used. The clock of Redis has no part: it would order its deliveries only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead_seconds = time.time() - time.monotonic()
        self._newest_ms: dict[str, int] = defaultdict(int)

    def time_ms(self, provider: str) -> int:
        """Return the time of a delivery of `provider` that is received now."""
        now, newest = int((time.monotonic() + self._ahead_seconds) * 1000), self._newest_ms[provider]
        return now if now >= newest else newest + 1

    def observe(self, provider: str, received_at_ms: int) -> None:
        """Give later deliveries of `provider` no earlier time than this."""
        with self._lock:
            self._newest_ms[provider] = max(self._newest_ms[provider], received_at_ms)

    def synchronise(self, postgres_time: datetime, asked_at: float) -> None:
        """Follow Postgres' clock; `asked_at` is the monotonic time of the question, the answer came now."""
        answered_at = time.monotonic()
        if answered_at - asked_at <= _PROMPT_SECONDS:
            self._ahead_seconds = postgres_time.timestamp() - (asked_at + answered_at) / 2
