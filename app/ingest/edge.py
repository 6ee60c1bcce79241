"""The edge as Granian runs it: an event loop answers webhooks, and threads answer every other request by Flask.

A slow sender therefore holds no thread, and health checks are answered while deliveries wait for a store.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flask import Flask
from granian.rsgi import (  # type: ignore[attr-defined] # missing in its types
    Headers,
    ProtocolClosed,
    Scope,
)
from werkzeug.sansio.utils import get_content_length

from app import metrics
from app.ingest.problem_details import Problem, to_problem
from app.ingest.receiver import CanaryReceiver, DeliveryReceiver
from app.ingest.request_body import SENDER_GONE, BodyReader
from config.granian import STORE_THREADS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Receivers = dict[str, DeliveryReceiver | CanaryReceiver]
_FLASK_THREADS = 4
# No sender hangs up sooner. A slower answer asks whether its sender still listens, which takes so long.
_QUICK_SECONDS, _HANG_UP_SECONDS = 0.1, 0.01
# Status, headers and body.
Answer = tuple[int, Sequence[tuple[str, str]], bytes]
_JSON = (("Content-Type", "application/json"),)


class _BodyNeededError(Exception):
    """The headers alone do not show whether a request is authentic."""


class _Request:
    """What a receiver sees of a request. Its body is missing until it has been read."""

    __slots__ = ("_body", "_headers", "topic")

    def __init__(self, topic: str | None, headers: Headers) -> None:
        self.topic = topic
        self._headers = headers
        self._body: bytes | None = None

    def header(self, name: str) -> str:
        value: str = self._headers.get(name, "")
        return value

    @property
    def body(self) -> bytes:
        if self._body is None:
            raise _BodyNeededError
        return self._body

    @body.setter
    def body(self, body: bytes) -> None:
        self._body = body


class Edge:
    """An RSGI application. While `draining` is set, each answer closes its connection: the next goes elsewhere."""

    def __init__(self, flask: Flask, receivers: Receivers, bodies: BodyReader, draining: threading.Event) -> None:
        """Route by name of provider: `receivers` has one for each."""
        self.flask = flask
        self._flask_threads = ThreadPoolExecutor(_FLASK_THREADS, "flask")
        self._bodies = bodies
        self._draining = draining
        self._routes = {
            "/".join(("/webhooks", provider, *segments)): (provider, receiver, topic)
            for provider, receiver in receivers.items()
            for topic in receiver.topics
            for segments in (([topic], [topic, ""]) if topic else ([], [""]))  # with and without a trailing slash
        }

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have threads for what would keep the loop waiting."""
        loop.set_default_executor(ThreadPoolExecutor(STORE_THREADS, "store"))

    async def __rsgi__(self, scope: Scope, protocol: Any) -> None:
        """Answer a request."""
        route = self._routes.get(scope.path) if scope.method == "POST" else None
        if route is not None:
            return await self._answer_webhook(*route, scope, protocol)
        loop = asyncio.get_running_loop()
        self._respond(protocol, await loop.run_in_executor(self._flask_threads, _call, self.flask, _environ(scope)))
        return None

    async def _answer_webhook(
        self,
        provider: str,
        receiver: DeliveryReceiver | CanaryReceiver,
        topic: str | None,
        scope: Scope,
        protocol: Any,
    ) -> None:
        started = time.monotonic()
        receipt = None
        with ExitStack() as answered:
            try:
                receipt = await self._receive(receiver, _Request(topic, scope.headers), protocol, answered)
                answer: Answer = 200, _JSON, b"{}" if receipt is None else b'{"receipt": "%b"}' % str(receipt).encode()
            except Exception as error:
                problem = to_problem(error, scope.path)
                count(provider, problem)
                response = problem.to_response()
                answer = response.status_code, list(response.headers), response.data
        is_awaited = time.monotonic() - started < _QUICK_SECONDS or not await _has_hung_up(protocol)
        self._respond(protocol, answer)
        if receipt is not None:
            receiver.answered(receipt, time.monotonic() - started, is_awaited)

    async def _receive(
        self, receiver: DeliveryReceiver | CanaryReceiver, request: _Request, protocol: Any, answered: ExitStack
    ) -> UUID | None:
        """Authenticate by the headers if they suffice, read the body, and store the delivery; return its receipt."""
        try:
            authentic = receiver.authenticate(request)
        except _BodyNeededError:
            authentic = None
        encoding, length = request.header("Transfer-Encoding"), request.header("Content-Length")
        declared = None if encoding else get_content_length(length or None)
        request.body = await self._bodies.read(protocol, declared, authentic is not None, answered)
        return await receiver.receive(request, authentic)

    def _respond(self, protocol: Any, answer: Answer) -> None:
        status, headers, body = answer
        closing = [("Connection", "close")] if self._draining.is_set() else []
        with suppress(ProtocolClosed):
            protocol.response_bytes(status, [*headers, *closing], body)


async def _has_hung_up(protocol: Any) -> bool:
    """Return whether the sender of a request has closed its connection."""
    disconnect = asyncio.ensure_future(protocol.client_disconnect())
    done, _ = await asyncio.wait([disconnect], timeout=_HANG_UP_SECONDS)
    disconnect.cancel()
    return bool(done)


def count(provider: str, problem: Problem) -> None:
    """Count an error answer; a sender that hung up got none."""
    status = "none" if problem.reason == SENDER_GONE else str(problem.status)
    metrics.WEBHOOK_REQUESTS.labels(provider, status, problem.reason).inc()


def _call(flask: Flask, environ: "WSGIEnvironment") -> Answer:
    """Have Flask answer a request whose body does not matter."""
    with flask.request_context(environ):
        response = flask.full_dispatch_request()
        return response.status_code, list(response.headers), response.get_data()


def _environ(scope: Scope) -> "WSGIEnvironment":
    return {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(),
    }
