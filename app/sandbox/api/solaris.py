"""Solaris' API: a subscription to each event type, whose secret is told once."""

import re
import secrets
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from uuid import uuid4

from flask import Blueprint, Response, jsonify, request

from app.sandbox import fake_solaris
from app.sandbox.api import urls
from app.sandbox.api.bodies import json_object
from app.sandbox.api.limits import Outage
from app.sandbox.api.oauth import ClientCredentials
from app.sandbox.api.subscribers import Subscribers
from app.sandbox.api.tokens import Clock
from app.sandbox.credentials import Credentials
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Event
from app.sandbox.solaris import SolarisHook
from app.sandbox.subscriptions import Subscription, Subscriptions

_PAGE_SIZE = 10
_LARGEST_PAGE = 1000
_TITLES = {400: "Bad Request", 401: "Unauthorized", 404: "Model Not Found", 500: "Internal Server Error"}
_URL_FAULTS = {
    "missing": "url is missing",
    "no text": "url is not a string",
    "invalid": "url is not a valid URL",
    "no https": "url is not HTTPS",
}


class SolarisApi:
    """`shake_hands` sends a receiver the empty request that comes before a secret, and returns the answer's status."""

    path = "solaris"
    topic_key = "event_type"

    def __init__(
        self,
        known: Subscriptions,
        dispatcher: Dispatcher,
        credentials: Credentials,
        clock: Clock,
        shake_hands: Callable[[str], int],
    ) -> None:
        self.outage = Outage()
        self.subscribers = Subscribers(self.path, known, dispatcher, _hook)
        self._clients = ClientCredentials(credentials.solaris_client, clock)
        self._shake_hands = shake_hands
        self._random = Random()
        self._life: Iterator[fake_solaris.Fact] = iter(())

    def event(self, topic: str) -> Event | None:
        """Return a made-up event of a type: of credit lines, what happens next to one after the other."""
        if not _is_event_type(topic):
            return None
        return fake_solaris.notification(self._random, *self._fact(topic))

    def _fact(self, event_type: str) -> fake_solaris.Fact:
        if event_type in (fake_solaris.OVERDRAFT_RATE, fake_solaris.REJECTED_TRANSACTION):
            tell = (
                fake_solaris.overdraft_rate
                if event_type == fake_solaris.OVERDRAFT_RATE
                else fake_solaris.rejected_transaction
            )
            return tell(self._random)
        if event_type != fake_solaris.CREDIT_LINE:
            return event_type, {"id": secrets.token_hex(16)}
        if (fact := next(self._life, None)) is None:
            self._life = iter(fake_solaris.credit_line(self._random))
            return next(self._life)
        return fact

    def blueprint(self) -> Blueprint:
        """Return its routes."""
        routes = Blueprint(self.path, __name__, url_prefix=f"/{self.path}")
        routes.before_request(self._admit)
        routes.post("/oauth2/token")(self._clients.grant)
        routes.post("/v1/webhooks")(self._create)
        routes.get("/v1/webhooks")(self._list)
        routes.get("/v1/webhooks/<id_>")(self._show)
        routes.delete("/v1/webhooks/<id_>")(self._delete)
        return routes

    def _admit(self) -> Response | None:
        """Answer what does not get as far as a view."""
        if self.outage.strikes():
            return _error(500, "internal_server_error", "on demand")
        if request.path.startswith(f"/{self.path}/v1/") and not self._clients.admits():
            return _error(401, "unauthorized", "the bearer token is missing, wrong or expired")
        return None

    def _create(self) -> Response:
        fields = json_object() or {}
        event_type: Any = fields.get("event_type")
        url: Any = fields.get("url")
        if not _is_event_type(event_type):
            return _error(400, "validation_error", "event_type is missing or invalid")
        if fault := urls.fault(url):
            return _error(400, "validation_error", _URL_FAULTS[fault])
        if (status := self._shake_hands(url)) != 200:
            told = f"answered {status}" if status else "gave no answer"
            return _error(400, "webhook_url_not_available", f"url {told} when it was tried; 200 is expected")
        made = self.subscribers.add(event_type, url, secret=secrets.token_hex(16))
        assert made is not None  # noqa: S101 - an event type may have several
        return _shown(made, made.secret, 201)

    def _list(self) -> Response:
        number, size = _whole("page[number]", 1), _whole("page[size]", _PAGE_SIZE)
        if number is None or size is None or size > _LARGEST_PAGE:
            return _error(400, "validation_error", f"page[number] is from 1, page[size] from 1 to {_LARGEST_PAGE}")
        page = self.subscribers.select()[(number - 1) * size : number * size]
        return jsonify([_fields(each) for each in page])

    def _show(self, id_: str) -> Response:
        found = [each for each in self.subscribers.select() if each.id == id_]
        return _shown(found[0]) if found else _unknown(id_)

    def _delete(self, id_: str) -> Response:
        gone = self.subscribers.end(lambda each: each.id == id_)
        return _shown(gone[0]) if gone else _unknown(id_)


def _hook(subscription: Subscription) -> SolarisHook:
    assert subscription.secret is not None  # noqa: S101 - every one of Solaris' has a secret
    return SolarisHook(subscription.url, subscription.topic, subscription.id, subscription.secret)


def _is_event_type(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z][A-Z0-9_]{0,99}", value) is not None


def _whole(name: str, default: int) -> int | None:
    """Return a whole number from 1 of the query; None if it is none."""
    value = request.args.get(name, str(default))
    return int(value) if re.fullmatch(r"0*[1-9][0-9]{0,8}", value) else None


def _fields(subscription: Subscription, secret: str | None = None) -> dict[str, str | None]:
    return {"id": subscription.id, "event_type": subscription.topic, "url": subscription.url, "secret": secret}


def _shown(subscription: Subscription, secret: str | None = None, status: int = 200) -> Response:
    answer = jsonify(_fields(subscription, secret))
    answer.status_code = status
    return answer


def _unknown(id_: str) -> Response:
    return _error(404, "model_not_found", f"no webhook has the id {id_[:64]!r}")


def _error(status: int, code: str, detail: str) -> Response:
    answer = jsonify(id=str(uuid4()), status=str(status), code=code, title=_TITLES[status], detail=detail)
    answer.status_code = status
    return answer
