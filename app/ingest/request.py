"""A webhook request, as receivers and their providers' authentication see it."""

from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

from granian.rsgi import Scope
from werkzeug.sansio.utils import get_content_length

from app.ingest.request_body import BodyReader

# Headers that say how a body was sent; a saved request has its length instead.
_FRAMING = ("content-length", "transfer-encoding")


class BodyNeededError(Exception):
    """The headers alone do not show whether a request is authentic."""


class Request:
    """A request whose headers have arrived; its body is missing until it has been read.

    Close `answered` after the answer: it frees what the body takes.
    """

    __slots__ = ("_body", "_headers", "_protocol", "_scope", "answered", "topic")

    def __init__(self, scope: Scope, protocol: Any, topic: str | None = None) -> None:
        self.topic = topic
        self.answered = ExitStack()
        self._scope = scope
        self._protocol = protocol
        self._headers = scope.headers
        self._body: bytes | None = None

    @property
    def path(self) -> str:
        """The path, decoded."""
        return self._scope.path

    @property
    def peer(self) -> str:
        """Who connected, as `host:port`."""
        return self._scope.client

    def header(self, name: str) -> str:
        """Return the value of a header, in any case of its name; empty if there is none."""
        value: str = self._headers.get(name, "")
        return value

    @property
    def body(self) -> bytes:
        """The raw body; raises BodyNeededError until it has been read."""
        if self._body is None:
            raise BodyNeededError
        return self._body

    async def read(self, bodies: BodyReader, is_authentic: bool) -> None:
        """Read the body unless that happened already; raises the errors of BodyReader."""
        if self._body is None:
            is_chunked, length = self.header("Transfer-Encoding"), self.header("Content-Length")
            declared = None if is_chunked else get_content_length(length or None)
            self._body = await bodies.read(self._protocol, declared, is_authentic, self.answered)

    def to_bytes(self) -> bytes:
        """Return the request as text, without its query, whose values may be secrets."""
        kept = [(name, value) for name, value in self._headers.items() if name.lower() not in _FRAMING]
        lines = [f"{name}: {value}" for name, value in (*kept, ("Content-Length", len(self.body)))]
        return "\r\n".join((f"POST {quote(self.path)} HTTP/1.1", *lines, "", "")).encode() + self.body
