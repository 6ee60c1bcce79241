"""The edge as Granian runs it: an event loop reads each body, then a thread answers the request by WSGI.

A slow body therefore holds no thread. What is no delivery has threads of its own: health checks are answered at once
while deliveries wait for a store.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from functools import partial
from io import BytesIO
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from granian.rsgi import (  # type: ignore[attr-defined] # missing in its types
    ProtocolClosed,
    Scope,
)
from werkzeug.sansio.utils import get_content_length

from app.ingest.endpoint import ON_ANSWER, WebhookEndpoint
from app.ingest.problem_details import to_problem
from app.ingest.request_body import BodyReader

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_OTHER_THREADS = 4
# No sender hangs up sooner. A slower answer asks whether its sender still listens, which takes so long.
_QUICK_SECONDS, _HANG_UP_SECONDS = 0.1, 0.01
# Status, headers and body.
Answer = tuple[int, list[tuple[str, str]], bytes]
logger = logging.getLogger(__name__)


class BufferedWsgi:
    """An RSGI application: reads the bodies of webhooks, then has threads answer by WSGI.

    While `draining` is set, each answer closes its connection, so that the next request goes to another server.
    """

    def __init__(self, endpoint: WebhookEndpoint, bodies: BodyReader, threads: int, draining: threading.Event) -> None:
        """Answer with `endpoint`, in so many threads."""
        self._endpoint = endpoint
        self._bodies = bodies
        self._draining = draining
        self._webhook_threads = _Threads(endpoint, threads, "webhook")
        self._other_threads = _Threads(endpoint, _OTHER_THREADS, "other")

    async def __rsgi__(self, scope: Scope, protocol: Any) -> None:
        """Answer a request."""
        started = time.monotonic()
        environ = _environ(scope)
        with ExitStack() as answered:
            is_authentic = self._endpoint.is_authentic_by_headers(environ)
            if is_authentic is not None:
                environ["wsgi.input"] = await self._read(protocol, environ, is_authentic, answered)
            threads = self._webhook_threads if self._endpoint.serves(environ) else self._other_threads
            status, headers, body = await threads.answer(environ)
        if self._draining.is_set():
            headers.append(("Connection", "close"))
        is_awaited = time.monotonic() - started < _QUICK_SECONDS or not await _has_hung_up(protocol)
        with suppress(ProtocolClosed):
            protocol.response_bytes(status, headers, body)
        if on_answer := environ.get(ON_ANSWER):
            on_answer(time.monotonic() - started, is_awaited)

    async def _read(
        self, protocol: Any, environ: "WSGIEnvironment", is_authentic: bool, answered: ExitStack
    ) -> "BytesIO | _FailedBody":
        """Return the body as WSGI wants it. Reading it raises the error with which it could not be received."""
        declared = get_content_length(environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING"))
        try:
            return BytesIO(await self._bodies.read(protocol, declared, is_authentic, answered))
        except Exception as error:
            return _FailedBody(error)


async def _has_hung_up(protocol: Any) -> bool:
    """Return whether the sender of a request has closed its connection."""
    disconnect = asyncio.ensure_future(protocol.client_disconnect())
    done, _ = await asyncio.wait([disconnect], timeout=_HANG_UP_SECONDS)
    disconnect.cancel()
    return bool(done)


class _FailedBody:
    """A body that could not be received."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, _size: int = -1) -> bytes:
        raise self._error


class _Threads:
    """A fixed number of threads that answer requests. `run_in_executor` would cost each request twice as much."""

    def __init__(self, app: "WSGIApplication", count: int, name: str) -> None:
        self._app = app
        self._requests: SimpleQueue[tuple[WSGIEnvironment, asyncio.Future[Answer]]] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def answer(self, environ: "WSGIEnvironment") -> "asyncio.Future[Answer]":
        """Have the next free thread answer a request."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._requests.put((environ, future))
        return future

    def _run(self) -> None:
        while True:
            environ, future = self._requests.get()
            answer = _answer(self._app, environ)
            with suppress(RuntimeError):  # the loop has ended
                future.get_loop().call_soon_threadsafe(_resolve, future, answer)


def _resolve(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():  # it was cancelled
        future.set_result(answer)


def _answer(app: "WSGIApplication", environ: "WSGIEnvironment") -> Answer:
    """Call a WSGI app; every answer of the edge is short."""
    started: list[Any] = []
    try:
        body = _joined(app(environ, partial(_start, started)))
        return int(started[0].partition(" ")[0]), started[1], body
    except Exception as error:
        response = to_problem(error, environ["PATH_INFO"]).to_response()
        return response.status_code, list(response.headers), response.data


def _start(started: list[Any], status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
    """Keep what a WSGI app starts its response with."""
    started.extend((status, headers))


def _joined(parts: Iterable[bytes]) -> bytes:
    if isinstance(parts, list):
        return b"".join(parts)
    try:
        return b"".join(parts)
    finally:
        getattr(parts, "close", bool)()


def _environ(scope: Scope) -> "WSGIEnvironment":
    """Return a request as WSGI wants it; of a repeated header, all values."""
    environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(),
    }
    for name, value in scope.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ
