"""Room for large bodies: only so many are held in memory at once."""

import threading
from types import TracebackType

from app.errors import Unavailable

# Smaller ones are bounded by the number of requests in progress.
LARGE_BYTES = 1024 * 1024
_PLACES = 2
_PATIENCE_SECONDS = 1.0


class Room:
    """A few places, each taken from the moment a body turns out large until its request is answered."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(_PLACES)

    def __enter__(self) -> None:
        """Take a place; raises Unavailable if none becomes free soon."""
        if not self._places.acquire(timeout=_PATIENCE_SECONDS):
            raise Unavailable("busy", "too many large bodies at once")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the place back."""
        self._places.release()
