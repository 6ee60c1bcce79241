"""Kompar's API: one webhook for each of two kinds, and, in its test environment, events on request.

Refusals are worded as Kompar words them, with the 404 that arrives in practice: its page says "400 NOT FOUND".
"""

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any

from flask import Blueprint, Response, jsonify, request

from app.sandbox import fake_kompar
from app.sandbox.api import urls
from app.sandbox.api.bodies import json_object
from app.sandbox.api.limits import Outage, Throttle
from app.sandbox.api.subscribers import Subscribers
from app.sandbox.api.tokens import SECONDS, Clock, Tokens
from app.sandbox.credentials import Credentials
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Event
from app.sandbox.kompar import SCHEDULE, KomparHook
from app.sandbox.subscriptions import Subscription, Subscriptions
from app.sandbox.workload import kompar_event

TOPICS = ("applications", "decisions")
_TEST_SCHEDULE = (1.0, 1.0, 1.0, 1.0)
_URL_FAULTS = {
    "missing": "You have to provide url.",
    "no text": "Url has to be string.",
    "invalid": "Please use valid url.",
    "no https": "Please use https protocol.",
}
_TOKEN_FAULTS = {"unknown": "Invalid credentials.", "expired": "Token is expired."}


class KomparApi:
    """One of its environments, which know nothing of each other; `test`: retries come soon, events on request."""

    topic_key = "topic"

    def __init__(
        self, test: bool, known: Subscriptions, dispatcher: Dispatcher, credentials: Credentials, clock: Clock
    ) -> None:
        self.path = "kompar/test" if test else "kompar"
        self.outage = Outage()
        self.subscribers = Subscribers(self.path, known, dispatcher, self._hook)
        self._test = test
        self._credentials = credentials
        self._tokens = Tokens(clock, alone=True)
        self._throttle = Throttle(clock)
        self._random = Random()
        self._flow: Event | None = None

    def event(self, topic: str) -> Event | None:
        """Return a made-up event; None for what is no topic."""
        if topic not in TOPICS:
            return None
        application = kompar_event("applications", fake_kompar.application(self._random))
        return application if topic == "applications" else self._decision(application)

    def blueprint(self) -> Blueprint:
        """Return its routes."""
        routes = Blueprint(self.path.replace("/", "-"), __name__, url_prefix=f"/{self.path}")
        routes.before_request(self._admit)
        routes.get("/token")(self._token)
        for topic in TOPICS:
            rule = f"/webhooks/{topic}"
            routes.add_url_rule(rule, f"register-{topic}", partial(self._register, topic), methods=["POST"])
            routes.add_url_rule(rule, f"remove-{topic}", partial(self._remove, topic), methods=["DELETE"])
        for rule, view in self._triggers().items() if self._test else ():
            routes.add_url_rule(rule, rule.strip("/").replace("/", "-"), view, methods=["GET"])
        return routes

    def _hook(self, subscription: Subscription) -> KomparHook:
        waits = _TEST_SCHEDULE if self._test else SCHEDULE
        token, key = self._credentials.delivery_token, self._credentials.delivery_key
        return KomparHook(subscription.url, subscription.topic, token, key, waits)

    def _admit(self) -> Response | None:
        """Answer what does not get as far as a view."""
        if self.outage.strikes():
            return Response(status=500)
        if not self._throttle.lets_through():
            return _refusal(429, "Too many requests.")
        if request.path == f"/{self.path}/token":
            return None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return _refusal(401, "Authorization not provided.")
        judged = self._tokens.judge(token)
        return None if judged == "valid" else _refusal(401, _TOKEN_FAULTS[judged])

    def _token(self) -> Response:
        given = request.authorization
        if given is None or given.type != "basic":
            return _refusal(401, "Missing authorization header.")
        if (given.username, given.password) != self._credentials.kompar_login:
            return _refusal(401, "Invalid credentials.")
        return jsonify(success=True, token=self._tokens.grant(), token_type="Bearer", expires_in=SECONDS)  # noqa: S106

    def _register(self, topic: str) -> Response:
        url: Any = (json_object() or {}).get("url")
        if fault := urls.fault(url):
            return _refusal(404, _URL_FAULTS[fault])
        if self.subscribers.add(topic, url, alone=True) is None:
            return _refusal(404, f"You have already registered {topic} webhook.")
        return jsonify(success=True)

    def _remove(self, topic: str) -> Response:
        if not self.subscribers.end(lambda each: each.topic == topic):
            return _refusal(404, f"You don't have registered {topic} webhook.")
        return jsonify(success=True)

    def _triggers(self) -> Mapping[str, Callable[[], Response]]:
        return {
            "/random/application": lambda: self._sent(self.event("applications")),
            "/random/decision": lambda: self._sent(self.event("decisions")),
            "/flow/start": self._start_flow,
            "/flow/application": lambda: self._sent(self._flow),
            "/flow/decision": lambda: self._sent(self._decided()),
        }

    def _start_flow(self) -> Response:
        """Make up a client, of whom nothing is sent yet."""
        self._flow = self.event("applications")
        return jsonify(success=True, message="New flow has been started.")

    def _decided(self) -> Event | None:
        return self._decision(self._flow) if self._flow else None

    def _decision(self, on: Event) -> Event:
        return kompar_event("decisions", fake_kompar.decision(self._random, on.entity_id, on.document))

    def _sent(self, event: Event | None) -> Response:
        if event is None:
            return _refusal(404, "You have to start flow first.")
        kind = event.event_type.removesuffix("s")
        if not self.subscribers.send(event):
            return _refusal(404, f"Please register {kind} webhook first.")
        return jsonify(success=True, message=f"{kind.capitalize()} has been sent to your url.")


def _refusal(status: int, message: str) -> Response:
    answer = jsonify(success=False, message=message)
    answer.status_code = status
    return answer
