"""Kompar's API: one webhook for each of two topics, and, in its test environment, events on request.

Error messages are Kompar's own. The status is 404, which arrives in practice; Kompar's page says "400 NOT FOUND".
"""

from collections import deque
from functools import partial
from random import Random

from flask import Response, request
from flask.typing import ResponseReturnValue

from app.sandbox import fake_kompar
from app.sandbox.api.provider_api import ProviderApi, Routes, SharedParts, json_object, url_problem
from app.sandbox.api.subscription_store import Subscription
from app.sandbox.hooks import Event
from app.sandbox.kompar import SCHEDULE, TOPICS, KomparHook

_TEST_SCHEDULE = (1.0, 1.0, 1.0, 1.0)
_CALLS_PER_MINUTE = 30
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
        super().__init__("kompar/test" if is_test else "kompar", "topic", parts, one_token=True)
        self._is_test = is_test
        self._recent_calls: deque[float] = deque(maxlen=_CALLS_PER_MINUTE)
        self._random = Random()
        self._flow: Event | None = None

    def event(self, topic: str) -> Event | None:
        """Return a generated event; None for an unknown topic."""
        if topic not in TOPICS:
            return None
        application = fake_kompar.application_event(self._random)
        return application if topic == "applications" else fake_kompar.decision_event(self._random, application)

    def _routes(self) -> Routes:
        routes: Routes = {("GET", "/token"): self._grant_token}
        for topic in TOPICS:
            routes["POST", f"/webhooks/{topic}"] = partial(self._register, topic)
            routes["DELETE", f"/webhooks/{topic}"] = partial(self._remove, topic)
        if self._is_test:
            routes |= {
                ("GET", "/random/application"): lambda: self._trigger(self.event("applications")),
                ("GET", "/random/decision"): lambda: self._trigger(self.event("decisions")),
                ("GET", "/flow/start"): self._start_flow,
                ("GET", "/flow/application"): lambda: self._trigger(self._flow),
                ("GET", "/flow/decision"): lambda: self._trigger(
                    self._flow and fake_kompar.decision_event(self._random, self._flow)
                ),
            }
        return routes

    def _hook(self, subscription: Subscription) -> KomparHook:
        waits = _TEST_SCHEDULE if self._is_test else SCHEDULE
        return KomparHook(subscription.url, subscription.topic, *self._parts.kompar_secrets, waits=waits)

    def _check_call(self) -> ResponseReturnValue | None:
        if self._must_fail():
            return Response(status=500)
        if not self._is_within_limit():
            return _error(429, "Too many requests.")
        if request.path == f"/{self.path}/token":
            return None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return _error(401, "Authorization not provided.")
        validity = self._tokens.check(token)
        return None if validity == "valid" else _error(401, _TOKEN_MESSAGES[validity])

    def _is_within_limit(self) -> bool:
        """Count a call, unless there were too many within the last minute; return whether it was counted."""
        with self._lock:
            now = self._parts.clock()
            if len(self._recent_calls) == _CALLS_PER_MINUTE and now - self._recent_calls[0] < 60:
                return False
            self._recent_calls.append(now)
            return True

    def _grant_token(self) -> ResponseReturnValue:
        login = request.authorization
        if login is None or login.type != "basic":
            return _error(401, "Missing authorization header.")
        if (login.username, login.password) != self._parts.kompar_login:
            return _error(401, "Invalid credentials.")
        return _done(token=self._tokens.grant(), token_type="Bearer", expires_in=self._tokens.SECONDS)  # noqa: S106

    def _register(self, topic: str) -> ResponseReturnValue:
        url = (json_object() or {}).get("url")
        if problem := url_problem(url):
            return _error(404, _URL_MESSAGES[problem])
        with self._lock:
            if self.subscriptions(topic):
                return _error(404, f"You have already registered {topic} webhook.")
            self._parts.store.add(self.path, topic, str(url))
        return _done()

    def _remove(self, topic: str) -> ResponseReturnValue:
        if not self.unsubscribe(lambda subscription: subscription.topic == topic):
            return _error(404, f"You don't have registered {topic} webhook.")
        return _done()

    def _start_flow(self) -> ResponseReturnValue:
        """Generate a client; nothing is sent yet."""
        self._flow = self.event("applications")
        return _done(message="New flow has been started.")

    def _trigger(self, event: Event | None) -> ResponseReturnValue:
        if event is None:
            return _error(404, "You have to start flow first.")
        kind = event.event_type.removesuffix("s")
        if not self.send(event):
            return _error(404, f"Please register {kind} webhook first.")
        return _done(message=f"{kind.capitalize()} has been sent to your url.")


def _done(**fields: object) -> ResponseReturnValue:
    return {"success": True, **fields}


def _error(status: int, message: str) -> ResponseReturnValue:
    return {"success": False, "message": message}, status
