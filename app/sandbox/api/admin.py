"""What only the sandbox has: events, faults and failures on demand, and a look at it; for this machine alone."""

from collections.abc import Sequence
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Any, Protocol

from flask import Blueprint, Response, abort, jsonify, request

from app.sandbox import hook_config
from app.sandbox.api.bodies import json_object
from app.sandbox.api.limits import Outage
from app.sandbox.api.subscribers import Subscribers
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.faults import FAULTS, Fault
from app.sandbox.hooks import Event

_MOST = 1000
# Every event type of Solaris' is treated alike.
_TOPICS = (*(("kompar", topic) for topic in sorted(hook_config.KOMPAR_TOPICS)), ("solaris", "*"))


class Api(Protocol):
    """A provider's API: `path` is where it is below the sandbox's address, `topic_key` its word for a topic."""

    path: str
    topic_key: str
    outage: Outage
    subscribers: Subscribers

    def event(self, topic: str) -> Event | None:
        """Return a made-up event; None for what is no topic."""

    def blueprint(self) -> Blueprint:
        """Return its routes."""


def controls(apis: Sequence[Api], dispatcher: Dispatcher) -> Blueprint:
    """Return the routes: /sandbox for all APIs, and /sandbox below the path of each."""
    routes = Blueprint("controls", __name__)
    routes.before_request(_refuse_strangers)
    routes.add_url_rule("/sandbox", "look", partial(_look, apis, dispatcher), methods=["GET"])
    routes.add_url_rule("/sandbox/lose-timers", "lose", partial(_lose_timers, dispatcher), methods=["POST"])
    for api in apis:
        for name, view in (("send", _send), ("fail", _fail)):
            routes.add_url_rule(
                f"/{api.path}/sandbox/{name}", f"{name}-{api.path}", partial(view, api), methods=["POST"]
            )
    return routes


def _refuse_strangers() -> None:
    address = ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104 - compared, not bound
    if isinstance(address, IPv6Address) and address.ipv4_mapped:  # so come those who speak IPv4 to `--bind [::]:8443`
        address = address.ipv4_mapped
    if not address.is_loopback:
        abort(_told(403, "only this machine may ask for that"))


def _look(apis: Sequence[Api], dispatcher: Dispatcher) -> Response:
    """Tell what is subscribed to, what became of deliveries, which calls are to fail, and who knows which fault."""
    found = [each for api in apis for each in api.subscribers.select()]
    return jsonify(
        subscriptions=[{"id": each.id, "api": each.api, "topic": each.topic, "url": each.url} for each in found],
        pending=dispatcher.pending,
        endings=dispatcher.endings,
        failing={api.path: api.outage.left for api in apis},
        faults={name: {"does": fault.description, "topics": _topics(fault)} for name, fault in FAULTS.items()},
    )


def _topics(fault: Fault) -> list[str]:
    return [f"{provider}/{topic}" for provider, topic in _TOPICS if fault.applies_to(provider, topic)]


def _lose_timers(dispatcher: Dispatcher) -> Response:
    return jsonify(lost=dispatcher.lose_timers())


def _send(api: Api) -> Response:
    """Have made-up events of a topic delivered to whoever subscribes to it."""
    fields = _fields()
    topic, fault = str(fields.get(api.topic_key)), fields.get("fault")
    provider = api.path.partition("/")[0]
    if fault is not None and fault not in [each.name for each in FAULTS.values() if each.applies_to(provider, topic)]:
        return _told(400, f"{topic} knows no fault {fault!r}; GET /sandbox lists all")
    if api.event(topic) is None:
        return _told(400, f"{api.topic_key} is missing, or nothing that {provider} sends")
    if not api.subscribers.select(topic):
        return _told(404, f"nobody subscribes to {topic} at /{api.path}{_elsewhere(api, topic)}")
    events = [event for _ in range(_count(fields, "count")) if (event := api.event(topic))]
    for event in events:
        api.subscribers.send(event, fault)
    return jsonify(events=[event.id for event in events])


def _elsewhere(api: Api, topic: str) -> str:
    paths = " and ".join(f"/{path}" for path in api.subscribers.elsewhere(topic))
    return f", but somebody does at {paths}" if paths else ""


def _fail(api: Api) -> Response:
    """Have the API's next calls answered 500; none ends that."""
    calls = _count(_fields(), "calls", least=0)
    api.outage.befall(calls)
    return jsonify(calls=calls)


def _fields() -> dict[str, Any]:
    body = json_object() if request.get_data() else {}
    if body is None:
        abort(_told(400, "the body is no JSON object"))
    return body


def _count(fields: dict[str, Any], name: str, least: int = 1) -> int:
    value = fields.get(name, 1)
    if type(value) is not int or not least <= value <= _MOST:
        abort(_told(400, f"{name} is a whole number from {least} to {_MOST}"))
    return value


def _told(status: int, message: str) -> Response:
    answer = jsonify(message=message)
    answer.status_code = status
    return answer
