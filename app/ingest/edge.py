"""The edge as Granian runs it: an event loop answers webhooks, and threads answer every other request by Flask.

A slow sender therefore holds no thread, and health checks are answered while deliveries wait for a store.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flask import Flask
from granian.rsgi import (  # type: ignore[attr-defined] # missing in its types
    ProtocolClosed,
    Scope,
)
from werkzeug.exceptions import RequestEntityTooLarge

from app import metrics
from app.errors import AuthenticationError, NotReceivedError
from app.ingest.problem_details import Problem, to_problem
from app.ingest.receiver import CanaryReceiver, DeliveryReceiver
from app.ingest.rejection_reporter import Rejection, RejectionReporter
from app.ingest.request import BodyNeededError, Request
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


class Edge:
    """An RSGI application. While `draining` is set, each answer closes its connection: the next goes elsewhere."""

    def __init__(
        self,
        flask: Flask,
        receivers: Receivers,
        bodies: BodyReader,
        rejections: RejectionReporter,
        draining: threading.Event,
    ) -> None:
        """Route by name of provider: `receivers` has one for each."""
        self.flask = flask
        self._flask_threads = ThreadPoolExecutor(_FLASK_THREADS, "flask")
        self._receivers = receivers
        self._bodies = bodies
        self._rejections = rejections
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
        if route is None:
            await self._answer_other(scope, protocol)
        else:
            provider, receiver, topic = route
            await self._answer_webhook(provider, receiver, Request(scope, protocol, topic), protocol)

    async def _answer_webhook(
        self, provider: str, receiver: DeliveryReceiver | CanaryReceiver, request: Request, protocol: Any
    ) -> None:
        started = time.monotonic()
        receipt = None
        with request.answered:
            try:
                receipt = await self._receive(receiver, request)
                answer: Answer = 200, _JSON, b"{}" if receipt is None else b'{"receipt": "%b"}' % str(receipt).encode()
            except Exception as error:
                client = self._client_of(request)
                problem = to_problem(error, request.path, client)
                count(provider, problem)
                if isinstance(error, AuthenticationError):
                    await self._keep_rejected(provider, problem.reason, request, client)
                response = problem.to_response()
                answer = response.status_code, list(response.headers), response.data
        is_awaited = time.monotonic() - started < _QUICK_SECONDS or not await _has_hung_up(protocol)
        self._respond(protocol, answer)
        if receipt is not None:
            receiver.answered(receipt, time.monotonic() - started, is_awaited)

    async def _receive(self, receiver: DeliveryReceiver | CanaryReceiver, request: Request) -> UUID | None:
        """Authenticate by the headers if they suffice, read the body, and store the delivery; return its receipt."""
        try:
            authentic = receiver.authenticate(request)
        except BodyNeededError:
            authentic = None
        await request.read(self._bodies, is_authentic=authentic is not None)
        return await receiver.receive(request, authentic)

    async def _answer_other(self, scope: Scope, protocol: Any) -> None:
        """Have Flask answer what is for no webhook. Below a provider's path, it may be a delivery nevertheless."""
        _, first, provider, *_rest = (*scope.path.split("/", 3), "", "")
        request = Request(scope, protocol)
        client = self._client_of(request)
        if (scope.method, first) == ("POST", "webhooks") and provider in self._receivers:
            with request.answered:
                await self._keep_rejected(provider, "not-found", request, client)
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._flask_threads, _call, self.flask, _environ(scope, client))
        self._respond(protocol, answer)

    async def _keep_rejected(self, provider: str, reason: str, request: Request, client: str) -> None:
        """Count a rejected request, and keep it if there is room: it may be a delivery, and the fault ours."""
        retried_for = self._receivers[provider].retried_for
        if retried_for is None:
            return
        whole = None
        if self._rejections.has_room(client):
            with suppress(NotReceivedError, RequestEntityTooLarge):
                await request.read(self._bodies, is_authentic=False)
                whole = request.to_bytes()
        self._rejections.observe(Rejection(provider, reason, client, retried_for), whole)

    def _client_of(self, request: Request) -> str:
        return self._rejections.client_of(request.peer, request.header("X-Forwarded-For"))

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


def _environ(scope: Scope, client: str) -> "WSGIEnvironment":
    return {
        "REMOTE_ADDR": client,
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
