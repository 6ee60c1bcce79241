"""Solaris' API: subscriptions to event types, each with a secret that is shown once."""

import re
import secrets
from collections.abc import Callable, Iterator
from random import Random
from uuid import uuid4

from flask import Blueprint, Response, jsonify, make_response, request

from app.sandbox import fake_solaris
from app.sandbox.api.oauth_tokens import OAuthTokens
from app.sandbox.api.provider_api import ProviderApi, SharedParts
from app.sandbox.api.request_checks import json_object, url_problem
from app.sandbox.api.subscription_store import Subscription
from app.sandbox.hooks import Event
from app.sandbox.solaris import SolarisHook

_PAGE_SIZE = 10
_MAX_PAGE_SIZE = 1000
_TITLES = {400: "Bad Request", 401: "Unauthorized", 404: "Model Not Found", 500: "Internal Server Error"}
_URL_MESSAGES = {
    "missing": "url is missing",
    "no text": "url is not a string",
    "invalid": "url is not a valid URL",
    "no https": "url is not HTTPS",
}
_FACTS: dict[str, Callable[[Random], fake_solaris.Fact]] = {
    fake_solaris.OVERDRAFT_RATE: fake_solaris.overdraft_rate,
    fake_solaris.REJECTED_TRANSACTION: fake_solaris.rejected_transaction,
}


class SolarisApi(ProviderApi):
    """Solaris' API; an event type may have several subscriptions."""

    def __init__(self, parts: SharedParts) -> None:
        super().__init__("solaris", "event_type", parts)
        self._tokens = OAuthTokens(parts.credentials.solaris_client, parts.clock)
        self._shake_hands = parts.shake_hands
        self._random = Random()
        self._credit_line: Iterator[fake_solaris.Fact] = iter(())

    def event(self, topic: str) -> Event | None:
        """Return a generated event of any type; those of a credit line follow each other."""
        if not _is_event_type(topic):
            return None
        if topic in _FACTS:
            fact = _FACTS[topic](self._random)
        elif topic == fake_solaris.CREDIT_LINE:
            fact = self._credit_line_status()
        else:
            fact = topic, {"id": secrets.token_hex(16)}
        return fake_solaris.notification(self._random, *fact)

    def _credit_line_status(self) -> fake_solaris.Fact:
        if (fact := next(self._credit_line, None)) is None:
            self._credit_line = iter(fake_solaris.credit_line(self._random))
            return next(self._credit_line)
        return fact

    def blueprint(self) -> Blueprint:
        """Return the API's routes."""
        routes = Blueprint(self.path, __name__, url_prefix=f"/{self.path}")
        routes.before_request(self._check_call)
        routes.post("/oauth2/token")(self._tokens.grant)
        routes.post("/v1/webhooks")(self._create)
        routes.get("/v1/webhooks")(self._list)
        routes.get("/v1/webhooks/<id_>")(self._show)
        routes.delete("/v1/webhooks/<id_>")(self._delete)
        return routes

    def hook(self, subscription: Subscription) -> SolarisHook:
        """Return the hook of a subscription."""
        return SolarisHook(subscription.url, subscription.topic, subscription.id, subscription.secret)

    def _check_call(self) -> Response | None:
        """Answer calls that must not reach a view."""
        if self.outage.should_fail():
            return _error(500, "internal_server_error", "on demand")
        if request.path.startswith(f"/{self.path}/v1/") and not self._tokens.is_authorized():
            return _error(401, "unauthorized", "the bearer token is missing, wrong or expired")
        return None

    def _create(self) -> Response:
        fields = json_object() or {}
        event_type, url = str(fields.get("event_type")), fields.get("url")
        if not _is_event_type(event_type):
            return _error(400, "validation_error", "event_type is missing or invalid")
        if problem := url_problem(url):
            return _error(400, "validation_error", _URL_MESSAGES[problem])
        if (status := self._shake_hands(str(url))) != 200:
            answer = f"answered {status}" if status else "gave no answer"
            return _error(400, "webhook_url_not_available", f"url {answer} when it was tried; 200 is expected")
        subscription = self.subscribe(event_type, str(url), secret=secrets.token_hex(16))
        return _shown(subscription, subscription.secret, 201)

    def _list(self) -> Response:
        number, size = _positive_query("page[number]", 1), _positive_query("page[size]", _PAGE_SIZE)
        if number is None or size is None or size > _MAX_PAGE_SIZE:
            return _error(400, "validation_error", f"page[number] is from 1, page[size] from 1 to {_MAX_PAGE_SIZE}")
        page = self.subscriptions()[(number - 1) * size : number * size]
        return jsonify([_fields(subscription) for subscription in page])

    def _show(self, id_: str) -> Response:
        matches = [subscription for subscription in self.subscriptions() if subscription.id == id_]
        return _shown(matches[0]) if matches else _not_found(id_)

    def _delete(self, id_: str) -> Response:
        removed = self.unsubscribe(lambda subscription: subscription.id == id_)
        return _shown(removed[0]) if removed else _not_found(id_)


def _is_event_type(value: str) -> bool:
    return re.fullmatch(r"[A-Z][A-Z0-9_]{0,99}", value) is not None


def _positive_query(name: str, default: int) -> int | None:
    """Return a whole number from 1 of the query; None if it is none."""
    value = request.args.get(name, str(default))
    return int(value) if re.fullmatch(r"0*[1-9][0-9]{0,8}", value) else None


def _fields(subscription: Subscription, secret: str | None = None) -> dict[str, str | None]:
    return {"id": subscription.id, "event_type": subscription.topic, "url": subscription.url, "secret": secret}


def _shown(subscription: Subscription, secret: str | None = None, status: int = 200) -> Response:
    return make_response(jsonify(_fields(subscription, secret)), status)


def _not_found(id_: str) -> Response:
    return _error(404, "model_not_found", f"no webhook has the id {id_[:64]!r}")


def _error(status: int, code: str, detail: str) -> Response:
    fields = {"id": str(uuid4()), "status": str(status), "code": code, "title": _TITLES[status], "detail": detail}
    return make_response(jsonify(fields), status)
