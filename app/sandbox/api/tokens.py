"""Bearer tokens, which last for an hour."""

import secrets
from collections.abc import Callable
from typing import Literal

SECONDS = 3600
# Monotonic seconds.
Clock = Callable[[], float]


class Tokens:
    """Grants and knows tokens; `alone`: a new one kills the one before it. Threads may share it."""

    def __init__(self, clock: Clock, alone: bool) -> None:
        self._clock = clock
        self._alone = alone
        self._end_at: dict[str, float] = {}

    def grant(self) -> str:
        """Return a new token."""
        token = secrets.token_urlsafe(32)
        end_at = self._clock() + SECONDS
        if self._alone:
            self._end_at = {token: end_at}
        else:
            self._end_at[token] = end_at
        return token

    def judge(self, token: str) -> Literal["valid", "expired", "unknown"]:
        """Tell what a token is worth now."""
        if token not in self._end_at:
            return "unknown"
        return "valid" if self._clock() < self._end_at[token] else "expired"
