"""The WSGI fast path for webhooks, in front of Flask; `app.ingest.app` says why."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response
from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import NotFound

from app import metrics
from app.ingest.canary_receiver import CanaryReceiver
from app.ingest.problem_details import to_problem
from app.ingest.receiver import DeliveryReceiver
from app.ingest.request_body import LargeBodyLimiter, read_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Receivers = dict[str, DeliveryReceiver | CanaryReceiver]


class _Request:
    """What a provider's authentication sees of a request."""

    def __init__(self, environ: "WSGIEnvironment", topic: str | None, read: Callable[[], bytes]) -> None:
        self.topic = topic
        self._headers = EnvironHeaders(environ)
        self._read = read
        self._body: bytes | None = None

    def header(self, name: str) -> str:
        """Return a header's value; empty if it is missing."""
        return self._headers.get(name, "")

    @property
    def body(self) -> bytes:
        """Read the body at first use. A cached_property would make requests wait for each other before Python 3.12."""
        if self._body is None:
            self._body = self._read()
        return self._body


class WebhookEndpoint:
    """A WSGI app that answers webhooks and passes all other requests on to Flask."""

    def __init__(self, flask_app: "WSGIApplication", receivers: Receivers, body_limit_bytes: int) -> None:
        """Route by name of provider: `receivers` has one for each."""
        self._flask_app = flask_app
        self._body_limit_bytes = body_limit_bytes
        self._large_bodies = LargeBodyLimiter()
        self._routes = {
            "/".join(("/webhooks", provider, *segments)): (provider, receiver, topic)
            for provider, receiver in receivers.items()
            for topic in receiver.topics
            for segments in (([topic], [topic, ""]) if topic else ([], [""]))  # with and without a trailing slash
        }

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request. A list of one part lets the server send it without another call into Python."""
        path = environ["PATH_INFO"]
        route = self._routes.get(path) if environ["REQUEST_METHOD"] == "POST" else None
        if route is None:
            return self._flask_app(environ, start_response)
        provider, receiver, topic = route
        with ExitStack() as held:  # a large body's slot
            read = partial(read_body, environ, self._body_limit_bytes, self._large_bodies, held)
            try:
                receipt = receiver.receive(_Request(environ, topic, read))
            except Exception as error:
                problem = to_problem(error, path)
                metrics.WEBHOOK_REQUESTS.labels(provider, str(problem.status), problem.reason).inc()
                return problem.to_response()(environ, start_response)
        body = b"{}" if receipt is None else b'{"receipt": "%b"}' % str(receipt).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


def unknown_webhooks() -> Blueprint:
    """Return Flask's routes for webhooks of no known provider or topic: 404 for a POST, 405 for other methods."""
    blueprint = Blueprint("webhooks", __name__)

    def not_found(**_segments: str) -> Response:
        raise NotFound

    for rule in ("/webhooks/<provider>", "/webhooks/<provider>/<topic>"):
        # By default Flask would answer OPTIONS itself, and redirect a path with a trailing slash.
        blueprint.add_url_rule(
            rule, view_func=not_found, methods=["POST"], provide_automatic_options=False, strict_slashes=False
        )
    return blueprint
