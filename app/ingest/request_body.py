"""Reads a request's raw body, counting: declared or chunked, no more than the limit is ever held."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.sansio.utils import get_content_length

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

import threading
from types import TracebackType

from app.errors import StoreUnavailableError

_PORTION = 64 * 1024
# Smaller ones are bounded by the number of requests in progress.
LARGE_BYTES = 1024 * 1024
_PLACES = 2
_PATIENCE_SECONDS = 1.0


class LargeBodyLimiter:
    """A few places, each taken from the moment a body turns out large until its request is answered."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(_PLACES)

    def __enter__(self) -> None:
        """Take a place; raises StoreUnavailableError if none becomes free soon."""
        if not self._places.acquire(timeout=_PATIENCE_SECONDS):
            raise StoreUnavailableError("busy", "too many large bodies at once")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the place back."""
        self._places.release()


def read_body(environ: "WSGIEnvironment", limit_bytes: int, room: LargeBodyLimiter, held: ExitStack) -> bytes:
    """Return the whole raw body; a content encoding is not undone. A large one takes a place in `room` while `held`.

    Werkzeug's own limit cuts a chunked body short without a word, so it is not used.

    Raises:
        RequestEntityTooLarge: More than `limit_bytes` are declared, or came.
        ClientDisconnected: Fewer came than were declared.
        StoreUnavailableError: There is no room for a large body now.
    """
    declared = get_content_length(environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING"))
    if declared is not None and declared > limit_bytes:
        raise RequestEntityTooLarge
    stream = environ["wsgi.input"]
    portions: list[bytes] = []
    size = 0
    # Every read gives up the interpreter: none is made to be told that a declared body is at its end.
    while size != declared and (portion := stream.read(_PORTION)):
        size += len(portion)
        if size > limit_bytes:
            raise RequestEntityTooLarge
        if size > LARGE_BYTES >= size - len(portion):
            held.enter_context(room)
        portions.append(portion)
    if declared is not None and size != declared:
        raise ClientDisconnected
    return b"".join(portions)
