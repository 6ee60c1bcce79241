"""The WSGI fast path for webhooks, in front of Flask; `app.ingest.app` says why."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.sansio.utils import get_content_length

from app import metrics
from app.errors import StoreUnavailableError
from app.ingest.problem_details import to_problem
from app.ingest.receiver import CanaryReceiver, DeliveryReceiver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CHUNK_BYTES = 64 * 1024
# Larger bodies are limited in number. The memory of the others is bounded by the number of requests in progress.
_LARGE_BYTES = 1024 * 1024
_MAX_LARGE_BODIES = 2
_WAIT_SECONDS = 1.0

Receivers = dict[str, DeliveryReceiver | CanaryReceiver]


class _Request:
    """What a provider's authentication sees of a request."""

    def __init__(self, environ: "WSGIEnvironment", topic: str | None, read: Callable[[], bytes]) -> None:
        self.topic = topic
        self._headers = EnvironHeaders(environ)
        self._read = read
        self._body: bytes | None = None

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    @property
    def body(self) -> bytes:
        """Read the body at first use. A cached_property would make requests wait for each other before Python 3.12."""
        if self._body is None:
            self._body = self._read()
        return self._body


def _observed(body: bytes, on_end: Callable[[bool], None]) -> Iterator[bytes]:
    """Yield the body of an answer; `on_end` gets whether the sender took it.

    The server asks for the end only then. If the sender has hung up, it closes the generator instead.
    """
    is_complete = False
    try:
        yield body
        is_complete = True
    finally:
        on_end(is_complete)


class WebhookEndpoint:
    """A WSGI app that answers webhooks and passes all other requests on to Flask."""

    def __init__(self, flask_app: "WSGIApplication", receivers: Receivers, body_limit_bytes: int) -> None:
        """Route by name of provider: `receivers` has one for each."""
        self._flask_app = flask_app
        self._body_limit_bytes = body_limit_bytes
        self._large_bodies = threading.BoundedSemaphore(_MAX_LARGE_BODIES)
        self._routes = {
            "/".join(("/webhooks", provider, *segments)): (provider, receiver, topic)
            for provider, receiver in receivers.items()
            for topic in receiver.topics
            for segments in (([topic], [topic, ""]) if topic else ([], [""]))  # with and without a trailing slash
        }

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request. The receiver learns how the answer to a delivery ended."""
        started = time.monotonic()
        path = environ["PATH_INFO"]
        route = self._routes.get(path) if environ["REQUEST_METHOD"] == "POST" else None
        if route is None:
            return self._flask_app(environ, start_response)
        provider, receiver, topic = route
        with ExitStack() as answered:
            try:
                receipt = receiver.receive(_Request(environ, topic, partial(self._read_body, environ, answered)))
            except Exception as error:
                problem = to_problem(error, path)
                metrics.WEBHOOK_REQUESTS.labels(provider, str(problem.status), problem.reason).inc()
                return problem.to_response()(environ, start_response)
        body = b"{}" if receipt is None else b'{"receipt": "%b"}' % str(receipt).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        if receipt is None:
            return [body]
        return _observed(body, lambda complete: receiver.answered(receipt, time.monotonic() - started, complete))

    def _read_body(self, environ: "WSGIEnvironment", answered: ExitStack) -> bytes:
        """Return the raw body, declared or chunked, still content-encoded. It never holds more than the limit.

        A body takes one of the slots for large bodies at its 1 MiB mark, and frees it when `answered` closes.
        Werkzeug's own limit is not used: it truncates a chunked body silently.

        Raises:
            RequestEntityTooLarge: More than the limit was declared or sent.
            ClientDisconnected: Fewer bytes were sent than declared.
            StoreUnavailableError: No slot is free for a large body.
        """
        declared = get_content_length(environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING"))
        if declared is not None and declared > self._body_limit_bytes:
            raise RequestEntityTooLarge
        chunks: list[bytes] = []
        size = 0
        # Every read releases the GIL, so a declared body is not read once more to find its end.
        while size != declared and (chunk := environ["wsgi.input"].read(_CHUNK_BYTES)):
            size += len(chunk)
            if size > self._body_limit_bytes:
                raise RequestEntityTooLarge
            if size > _LARGE_BYTES >= size - len(chunk):
                if not self._large_bodies.acquire(timeout=_WAIT_SECONDS):
                    raise StoreUnavailableError("busy", "too many large bodies at once")
                answered.callback(self._large_bodies.release)
            chunks.append(chunk)
        if declared is not None and size != declared:
            raise ClientDisconnected
        return b"".join(chunks)
