"""Solaris' API: subscriptions to event types, each with a secret that is shown once."""

import re
import secrets
from random import Random
from uuid import uuid4

from flask import request
from flask.typing import ResponseReturnValue

from app.sandbox.api.provider_api import ProviderApi, Routes, SharedParts, json_object, url_problem
from app.sandbox.api.subscription_store import Subscription
from app.sandbox.hooks import Event
from app.sandbox.solaris import SolarisHook, shake_hands
from app.sandbox.workload import EventGenerator

_SCOPE = "partners"
_PAGE_SIZE = 10
_MAX_PAGE_SIZE = 1000
_TITLES = {400: "Bad Request", 401: "Unauthorized", 404: "Model Not Found", 500: "Internal Server Error"}
_URL_MESSAGES = {
    "missing": "url is missing",
    "no text": "url is not a string",
    "invalid": "url is not a valid URL",
    "no https": "url is not HTTPS",
}


class SolarisApi(ProviderApi):
    """Solaris' API; an event type may have several subscriptions."""

    def __init__(self, parts: SharedParts) -> None:
        super().__init__("solaris", "event_type", parts, one_token=False)
        self._generator = EventGenerator(Random())

    def event(self, topic: str) -> Event | None:
        """Return a generated event of any type."""
        with self._lock:  # requests run in threads of their own
            return self._generator.notification(topic) if _is_event_type(topic) else None

    def _routes(self) -> Routes:
        return {
            ("POST", "/oauth2/token"): self._grant_token,
            ("POST", "/v1/webhooks"): self._create,
            ("GET", "/v1/webhooks"): self._list,
            ("GET", "/v1/webhooks/<id_>"): self._show,
            ("DELETE", "/v1/webhooks/<id_>"): self._delete,
        }

    def _hook(self, subscription: Subscription) -> SolarisHook:
        return SolarisHook(subscription.url, subscription.topic, subscription.id, subscription.secret)

    def _check_call(self) -> ResponseReturnValue | None:
        if self._must_fail():
            return _error(500, "internal_server_error", "on demand")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        is_authorized = scheme.lower() == "bearer" and self._tokens.check(token) == "valid"
        if request.path.startswith(f"/{self.path}/v1/") and not is_authorized:
            return _error(401, "unauthorized", "the bearer token is missing, wrong or expired")
        return None

    def _grant_token(self) -> ResponseReturnValue:
        """Grant a token for client credentials, in the header or the form, as OAuth 2 does (RFC 6749, 4.4)."""
        login, form = request.authorization, request.form
        client = form.get("client_id"), form.get("client_secret")
        if login is not None and login.type == "basic":
            client = login.username, login.password
        if client != self._parts.solaris_client:
            return {"error": "invalid_client"}, 401
        if form.get("grant_type") != "client_credentials":
            return {"error": "unsupported_grant_type"}, 400
        if form.get("scope", _SCOPE) != _SCOPE:
            return {"error": "invalid_scope"}, 400
        token = self._tokens.grant()
        return {"access_token": token, "token_type": "Bearer", "expires_in": self._tokens.SECONDS, "scope": _SCOPE}

    def _create(self) -> ResponseReturnValue:
        fields = json_object() or {}
        event_type, url = str(fields.get("event_type")), fields.get("url")
        if not _is_event_type(event_type):
            return _error(400, "validation_error", "event_type is missing or invalid")
        if problem := url_problem(url):
            return _error(400, "validation_error", _URL_MESSAGES[problem])
        if (status := shake_hands(str(url), self._parts.trust)) != 200:
            answer = f"answered {status}" if status else "gave no answer"
            return _error(400, "webhook_url_not_available", f"url {answer} when it was tried; 200 is expected")
        secret = secrets.token_hex(16)
        return _fields(self._parts.store.add(self.path, event_type, str(url), secret), secret), 201

    def _list(self) -> ResponseReturnValue:
        number, size = _positive_query("page[number]", 1), _positive_query("page[size]", _PAGE_SIZE)
        if number is None or size is None or size > _MAX_PAGE_SIZE:
            return _error(400, "validation_error", f"page[number] is from 1, page[size] from 1 to {_MAX_PAGE_SIZE}")
        page = self.subscriptions()[(number - 1) * size : number * size]
        return [_fields(subscription) for subscription in page]

    def _show(self, id_: str) -> ResponseReturnValue:
        return _only([subscription for subscription in self.subscriptions() if subscription.id == id_], id_)

    def _delete(self, id_: str) -> ResponseReturnValue:
        return _only(self.unsubscribe(lambda subscription: subscription.id == id_), id_)


def _is_event_type(value: str) -> bool:
    return re.fullmatch(r"[A-Z][A-Z0-9_]{0,99}", value) is not None


def _positive_query(name: str, default: int) -> int | None:
    """Return a whole number from 1 of the query; None if it is none."""
    value = request.args.get(name, str(default))
    return int(value) if re.fullmatch(r"0*[1-9][0-9]{0,8}", value) else None


def _only(matches: list[Subscription], id_: str) -> ResponseReturnValue:
    return _fields(matches[0]) if matches else _error(404, "model_not_found", f"no webhook has the id {id_[:64]!r}")


def _fields(subscription: Subscription, secret: str | None = None) -> dict[str, str | None]:
    return {"id": subscription.id, "event_type": subscription.topic, "url": subscription.url, "secret": secret}


def _error(status: int, code: str, detail: str) -> ResponseReturnValue:
    fields = {"id": str(uuid4()), "status": str(status), "code": code, "title": _TITLES[status], "detail": detail}
    return fields, status
