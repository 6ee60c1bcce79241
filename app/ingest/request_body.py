"""Reads a request's raw body, declared or chunked, and never holds more than the limit."""

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.sansio.utils import get_content_length

from app.errors import StoreUnavailableError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_CHUNK_BYTES = 64 * 1024
# The memory of smaller bodies is bounded by the number of requests in progress.
_LARGE_BYTES = 1024 * 1024
_MAX_LARGE_BODIES = 2
_WAIT_SECONDS = 1.0


class LargeBodyLimiter:
    """Limits how many large bodies are in memory. A request holds a slot from its 1 MiB mark until its answer."""

    def __init__(self) -> None:
        self._slots = threading.BoundedSemaphore(_MAX_LARGE_BODIES)

    def __enter__(self) -> None:
        """Take a slot; raises StoreUnavailableError if none is free within a second."""
        if not self._slots.acquire(timeout=_WAIT_SECONDS):
            raise StoreUnavailableError("busy", "too many large bodies at once")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Free the slot."""
        self._slots.release()


def read_body(environ: "WSGIEnvironment", limit_bytes: int, limiter: LargeBodyLimiter, held: ExitStack) -> bytes:
    """Return the whole raw body, still content-encoded. A large body takes a slot of `limiter` until `held` closes.

    Werkzeug's own limit is not used: it truncates a chunked body silently.

    Raises:
        RequestEntityTooLarge: More than `limit_bytes` were declared or sent.
        ClientDisconnected: Fewer bytes were sent than declared.
        StoreUnavailableError: No slot is free for a large body.
    """
    declared = get_content_length(environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING"))
    if declared is not None and declared > limit_bytes:
        raise RequestEntityTooLarge
    stream = environ["wsgi.input"]
    chunks: list[bytes] = []
    size = 0
    # Every read releases the GIL, so a declared body is not read once more to find its end.
    while size != declared and (chunk := stream.read(_CHUNK_BYTES)):
        size += len(chunk)
        if size > limit_bytes:
            raise RequestEntityTooLarge
        if size > _LARGE_BYTES >= size - len(chunk):
            held.enter_context(limiter)
        chunks.append(chunk)
    if declared is not None and size != declared:
        raise ClientDisconnected
    return b"".join(chunks)
