"""Sends requests to an RSGI application in this process, as Granian passes them on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from werkzeug.datastructures import Headers

_LONGEST_SECONDS = 60


@dataclass
class Answer:
    """What the application answered."""

    status_code: int = 0
    headers: Headers = field(default_factory=Headers)
    text: str = ""


class _Protocol:
    """Granian's side of one request, whose body has arrived."""

    def __init__(self, body: bytes) -> None:
        self.answer = Answer()
        self._body = body

    def __call__(self) -> "asyncio.Future[bytes]":
        return asyncio.ensure_future(self._next(self._body))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        yield b""

    @staticmethod
    async def _next(part: bytes) -> bytes:
        return part

    async def client_disconnect(self) -> None:
        await asyncio.Event().wait()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = Answer(status, Headers(headers), body.decode())


class RsgiClient:
    """Runs an event loop in a thread of its own, for as long as this process."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="rsgi-client", daemon=True).start()
        self._loop.call_soon_threadsafe(app.__rsgi_init__, self._loop)

    def post(self, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        return self.request("POST", path, headers, body)

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"", query: str = ""
    ) -> Answer:
        """Send a request; `path` is as a server has decoded it."""
        scope = SimpleNamespace(
            method=method, path=path, query_string=query, scheme="http", http_version="1.1", client="127.0.0.1:50000",
            headers=Headers({"Content-Length": str(len(body))} | dict(headers or {})),
        )  # fmt: skip
        protocol = _Protocol(body)
        asyncio.run_coroutine_threadsafe(self._app.__rsgi__(scope, protocol), self._loop).result(_LONGEST_SECONDS)
        return protocol.answer
