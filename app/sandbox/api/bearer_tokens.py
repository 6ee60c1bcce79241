"""Bearer tokens, which are valid for an hour."""

import secrets
from collections.abc import Callable
from typing import Literal

SECONDS = 3600
# Returns monotonic seconds.
Clock = Callable[[], float]


class BearerTokens:
    """Grants and checks tokens; `alone`: a new one invalidates the one before it. Threads may share it."""

    def __init__(self, clock: Clock, alone: bool) -> None:
        self._clock = clock
        self._alone = alone
        self._expires_at: dict[str, float] = {}

    def grant(self) -> str:
        """Return a new token."""
        token = secrets.token_urlsafe(32)
        expires_at = self._clock() + SECONDS
        if self._alone:
            self._expires_at = {token: expires_at}
        else:
            self._expires_at[token] = expires_at
        return token

    def check(self, token: str) -> Literal["valid", "expired", "unknown"]:
        """Return whether a token is valid now."""
        if token not in self._expires_at:
            return "unknown"
        return "valid" if self._clock() < self._expires_at[token] else "expired"
