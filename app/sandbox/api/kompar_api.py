"""Kompar's API: one webhook for each of two topics, and, in its test environment, events on request.

Error messages are Kompar's own. The status is 404, which arrives in practice; Kompar's page says "400 NOT FOUND".
"""

from collections.abc import Callable, Mapping
from functools import partial
from random import Random

from flask import Blueprint, Response, jsonify, make_response, request

from app.sandbox import fake_kompar
from app.sandbox.api.bearer_tokens import SECONDS, BearerTokens
from app.sandbox.api.call_limits import RateLimiter
from app.sandbox.api.provider_api import ProviderApi, SharedParts
from app.sandbox.api.request_checks import json_object, url_problem
from app.sandbox.api.subscription_store import Subscription, TopicTakenError
from app.sandbox.hooks import Event
from app.sandbox.kompar import SCHEDULE, KomparHook
from app.sandbox.workload import kompar_event

TOPICS = ("applications", "decisions")
_TEST_SCHEDULE = (1.0, 1.0, 1.0, 1.0)
_URL_MESSAGES = {
    "missing": "You have to provide url.",
    "no text": "Url has to be string.",
    "invalid": "Please use valid url.",
    "no https": "Please use https protocol.",
}
_TOKEN_MESSAGES = {"unknown": "Invalid credentials.", "expired": "Token is expired."}


class KomparApi(ProviderApi):
    """One of two independent environments. In the test environment retries come soon, and events on request."""

    def __init__(self, parts: SharedParts, is_test: bool) -> None:
        super().__init__("kompar/test" if is_test else "kompar", "topic", parts)
        self._is_test = is_test
        self._credentials = parts.credentials
        self._tokens = BearerTokens(parts.clock, alone=True)
        self._rate_limiter = RateLimiter(parts.clock)
        self._random = Random()
        self._flow: Event | None = None

    def event(self, topic: str) -> Event | None:
        """Return a generated event; None for an unknown topic."""
        if topic not in TOPICS:
            return None
        application = kompar_event("applications", fake_kompar.application(self._random))
        return application if topic == "applications" else self._decision(application)

    def blueprint(self) -> Blueprint:
        """Return the API's routes."""
        routes = Blueprint(self.path.replace("/", "-"), __name__, url_prefix=f"/{self.path}")
        routes.before_request(self._check_call)
        routes.get("/token")(self._grant_token)
        for topic in TOPICS:
            rule = f"/webhooks/{topic}"
            routes.post(rule, endpoint=f"register-{topic}")(partial(self._register, topic))
            routes.delete(rule, endpoint=f"remove-{topic}")(partial(self._remove, topic))
        for rule, view in self._triggers().items() if self._is_test else ():
            routes.get(rule, endpoint=rule.strip("/").replace("/", "-"))(view)
        return routes

    def hook(self, subscription: Subscription) -> KomparHook:
        """Return the hook of a subscription."""
        waits = _TEST_SCHEDULE if self._is_test else SCHEDULE
        token, key = self._credentials.delivery_token, self._credentials.delivery_key
        return KomparHook(subscription.url, subscription.topic, token, key, waits=waits)

    def _check_call(self) -> Response | None:
        """Answer calls that must not reach a view."""
        if self.outage.should_fail():
            return Response(status=500)
        if not self._rate_limiter.allow():
            return _error(429, "Too many requests.")
        if request.path == f"/{self.path}/token":
            return None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return _error(401, "Authorization not provided.")
        validity = self._tokens.check(token)
        return None if validity == "valid" else _error(401, _TOKEN_MESSAGES[validity])

    def _grant_token(self) -> Response:
        login = request.authorization
        if login is None or login.type != "basic":
            return _error(401, "Missing authorization header.")
        if (login.username, login.password) != self._credentials.kompar_login:
            return _error(401, "Invalid credentials.")
        return jsonify(success=True, token=self._tokens.grant(), token_type="Bearer", expires_in=SECONDS)  # noqa: S106

    def _register(self, topic: str) -> Response:
        url = (json_object() or {}).get("url")
        if problem := url_problem(url):
            return _error(404, _URL_MESSAGES[problem])
        try:
            self.subscribe(topic, str(url), alone=True)
        except TopicTakenError:
            return _error(404, f"You have already registered {topic} webhook.")
        return jsonify(success=True)

    def _remove(self, topic: str) -> Response:
        if not self.unsubscribe(lambda subscription: subscription.topic == topic):
            return _error(404, f"You don't have registered {topic} webhook.")
        return jsonify(success=True)

    def _triggers(self) -> Mapping[str, Callable[[], Response]]:
        return {
            "/random/application": lambda: self._trigger(self.event("applications")),
            "/random/decision": lambda: self._trigger(self.event("decisions")),
            "/flow/start": self._start_flow,
            "/flow/application": lambda: self._trigger(self._flow),
            "/flow/decision": lambda: self._trigger(self._decision(self._flow) if self._flow else None),
        }

    def _start_flow(self) -> Response:
        """Generate a client; nothing is sent yet."""
        self._flow = self.event("applications")
        return jsonify(success=True, message="New flow has been started.")

    def _decision(self, application: Event) -> Event:
        document = fake_kompar.decision(self._random, application.entity_id, application.document)
        return kompar_event("decisions", document)

    def _trigger(self, event: Event | None) -> Response:
        if event is None:
            return _error(404, "You have to start flow first.")
        kind = event.event_type.removesuffix("s")
        if not self.send(event):
            return _error(404, f"Please register {kind} webhook first.")
        return jsonify(success=True, message=f"{kind.capitalize()} has been sent to your url.")


def _error(status: int, message: str) -> Response:
    return make_response(jsonify(success=False, message=message), status)
