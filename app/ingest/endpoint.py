"""The WSGI fast path for webhooks, in front of Flask; `app.ingest.app` says why."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.datastructures import EnvironHeaders

from app import metrics
from app.errors import AuthenticationError
from app.ingest.problem_details import Problem, to_problem
from app.ingest.receiver import CanaryReceiver, DeliveryReceiver
from app.ingest.request_body import SENDER_GONE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Receivers = dict[str, DeliveryReceiver | CanaryReceiver]
# Where the environ of an accepted delivery holds what to call when its answer has ended: with the seconds since the
# headers arrived, and whether the sender still listened.
ON_ANSWER = "kvitto.on_answer"


class BodyNeededError(Exception):
    """The headers alone do not show whether a request is authentic."""


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


class WebhookEndpoint:
    """A WSGI app that answers webhooks and passes all other requests on to Flask."""

    def __init__(self, flask: Flask, receivers: Receivers) -> None:
        """Route by name of provider: `receivers` has one for each."""
        self.flask = flask
        self._routes = {
            "/".join(("/webhooks", provider, *segments)): (provider, receiver, topic)
            for provider, receiver in receivers.items()
            for topic in receiver.topics
            for segments in (([topic], [topic, ""]) if topic else ([], [""]))  # with and without a trailing slash
        }

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request. Reading `wsgi.input` may raise an error, which is answered like any other."""
        route = self._route(environ)
        if route is None:
            return self.flask.wsgi_app(environ, start_response)
        provider, receiver, topic = route
        try:
            receipt = receiver.receive(_Request(environ, topic, environ["wsgi.input"].read))
        except Exception as error:
            problem = to_problem(error, environ["PATH_INFO"])
            count(provider, problem)
            return problem.to_response()(environ, start_response)
        body = b"{}" if receipt is None else b'{"receipt": "%b"}' % str(receipt).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        if receipt is not None:
            environ[ON_ANSWER] = partial(receiver.answered, receipt)
        return [body]

    def is_authentic_by_headers(self, environ: "WSGIEnvironment") -> bool | None:
        """Return whether the headers authenticate a webhook, so that its body may be read with more patience.

        None if no body need be read: the headers show that the request is rejected, or it is no webhook.
        """
        route = self._route(environ)
        if route is None:
            return None
        _, receiver, topic = route
        try:
            receiver.authenticate(_Request(environ, topic, _body_needed))
        except BodyNeededError:
            return False
        except AuthenticationError:
            return None
        return True

    def serves(self, environ: "WSGIEnvironment") -> bool:
        """Return whether a request is for a webhook."""
        return self._route(environ) is not None

    def _route(self, environ: "WSGIEnvironment") -> tuple[str, DeliveryReceiver | CanaryReceiver, str | None] | None:
        return self._routes.get(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None


def count(provider: str, problem: Problem) -> None:
    """Count an error answer; a sender that hung up got none."""
    status = "none" if problem.reason == SENDER_GONE else str(problem.status)
    metrics.WEBHOOK_REQUESTS.labels(provider, status, problem.reason).inc()


def _body_needed() -> bytes:
    raise BodyNeededError
