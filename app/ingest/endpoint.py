"""The webhooks, answered in front of Flask: its context and routing cost as much as all that a delivery needs.

Flask answers whatever is no delivery to a door that is there: health, and every path and method that is wrong.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response
from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import NotFound

from app.ingest.canary_receiver import CanaryReceiver
from app.ingest.problem_details import to_problem
from app.ingest.receiver import DeliveryReceiver
from app.ingest.request_body import LargeBodyLimiter, read_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Doors = Mapping[str, DeliveryReceiver | CanaryReceiver]


class _Request:
    """What a provider's authentication sees of the request at hand."""

    def __init__(self, environ: "WSGIEnvironment", topic: str | None, limit_bytes: int, room: LargeBodyLimiter) -> None:
        self.topic = topic
        self._headers = EnvironHeaders(environ)
        self._read = partial(read_body, environ, limit_bytes, room)
        self._body: bytes | None = None
        self._held = ExitStack()

    def header(self, name: str) -> str:
        """Return a header's value."""
        return self._headers.get(name, "")

    @property
    def body(self) -> bytes:
        """Read the body, once; before Python 3.12 a cached_property would have all requests wait for each other."""
        if self._body is None:
            self._body = self._read(self._held)
        return self._body

    def close(self) -> None:
        """Give back what the body holds."""
        self._held.close()


class WebhookEndpoint:
    """A WSGI app that takes deliveries in, and leaves all else to another."""

    def __init__(self, others: "WSGIApplication", doors: Doors, body_limit_bytes: int) -> None:
        self._others = others
        self._limit_bytes = body_limit_bytes
        self._room = LargeBodyLimiter()
        self._routes = {
            path: (door, topic)
            for provider, door in doors.items()
            for topic in door.topics
            for path in _paths(provider, topic)
        }

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer in one piece: the server asks the interpreter no more for an answer that is a list."""
        found = self._routes.get(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        if found is None:
            return self._others(environ, start_response)
        door, topic = found
        request = _Request(environ, topic, self._limit_bytes, self._room)
        try:
            receipt = door.receive(request)
        except Exception as error:
            return to_problem(error, environ["PATH_INFO"])(environ, start_response)
        finally:
            request.close()
        answer = b"{}" if receipt is None else b'{"receipt": "%b"}' % str(receipt).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]


def _paths(provider: str, topic: str | None) -> tuple[str, str]:
    path = f"/webhooks/{provider}" if topic is None else f"/webhooks/{provider}/{topic}"
    return path, f"{path}/"


def nowhere() -> Blueprint:
    """Return the routes of webhooks that lead nowhere: only POST is answered, and with a 404."""
    blueprint = Blueprint("webhooks", __name__)

    def receive(**_segments: str) -> Response:
        raise NotFound

    for rule in ("/webhooks/<provider>", "/webhooks/<provider>/<topic>"):
        # Without the options Flask would answer OPTIONS itself, and a slash at the end with a redirect.
        blueprint.add_url_rule(
            rule, view_func=receive, methods=["POST"], provide_automatic_options=False, strict_slashes=False
        )
    return blueprint
