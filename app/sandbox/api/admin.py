"""Routes that the providers do not have: send, fail, lose timers, and show the state. For this machine alone."""

from collections.abc import Sequence
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Any

from flask import Blueprint, Response, abort, jsonify, make_response, request

from app.sandbox import hook_config
from app.sandbox.api.provider_api import ProviderApi
from app.sandbox.api.request_checks import json_object
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.faults import FAULTS, DeliveryFault

_MAX_COUNT = 1000
# Faults treat all event types of Solaris alike.
_TOPICS = (*(("kompar", topic) for topic in sorted(hook_config.KOMPAR_TOPICS)), ("solaris", "*"))


def admin_routes(apis: Sequence[ProviderApi], dispatcher: Dispatcher) -> Blueprint:
    """Return the routes: /sandbox for all APIs, and /sandbox below the path of each."""
    routes = Blueprint("admin", __name__)
    routes.before_request(_reject_other_machines)
    routes.get("/sandbox", endpoint="state")(lambda: _state(apis, dispatcher))
    routes.post("/sandbox/lose-timers", endpoint="lose")(lambda: jsonify(lost=dispatcher.lose_timers()))
    for api in apis:
        for name, view in (("send", _send), ("fail", _fail)):
            routes.post(f"/{api.path}/sandbox/{name}", endpoint=f"{name}-{api.path}")(partial(view, api))
    return routes


def _reject_other_machines() -> None:
    address = ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104 - compared, not bound
    if isinstance(address, IPv6Address) and address.ipv4_mapped:  # an IPv4 client of `--bind [::]:8443`
        address = address.ipv4_mapped
    if not address.is_loopback:
        abort(_message(403, "only this machine may ask for that"))


def _state(apis: Sequence[ProviderApi], dispatcher: Dispatcher) -> Response:
    """Return subscriptions, deliveries by final status, calls that are to fail, and the faults."""
    subscriptions = [subscription for api in apis for subscription in api.subscriptions()]
    return jsonify(
        subscriptions=[{name: getattr(row, name) for name in ("id", "api", "topic", "url")} for row in subscriptions],
        pending=dispatcher.pending,
        final_statuses=dispatcher.final_statuses,
        failing={api.path: api.outage.left for api in apis},
        faults={name: {"does": fault.description, "topics": _topics(fault)} for name, fault in FAULTS.items()},
    )


def _topics(fault: DeliveryFault) -> list[str]:
    return [f"{provider}/{topic}" for provider, topic in _TOPICS if fault.applies_to(provider, topic)]


def _send(api: ProviderApi) -> Response:
    """Deliver generated events to the subscribers of a topic."""
    fields = _fields()
    topic, fault = str(fields.get(api.topic_key)), fields.get("fault")
    provider = api.path.partition("/")[0]
    if fault is not None and fault not in [name for name in FAULTS if FAULTS[name].applies_to(provider, topic)]:
        return _message(400, f"{topic} has no fault {fault!r}; GET /sandbox lists all")
    if api.event(topic) is None:
        return _message(400, f"{api.topic_key} is missing, or nothing that {provider} sends")
    if not api.subscriptions(topic):
        paths = " and ".join(f"/{path}" for path in api.other_apis(topic))
        hint = f", but there are subscribers at {paths}" if paths else ""
        return _message(404, f"{topic} has no subscriber at /{api.path}{hint}")
    events = [event for _ in range(_count(fields, "count")) if (event := api.event(topic))]
    for event in events:
        api.send(event, fault)
    return jsonify(events=[event.id for event in events])


def _fail(api: ProviderApi) -> Response:
    """Make the API answer its next calls with 500; 0 ends that."""
    calls = _count(_fields(), "calls", least=0)
    api.outage.arm(calls)
    return jsonify(calls=calls)


def _fields() -> dict[str, Any]:
    body = json_object() if request.get_data() else {}
    if body is None:
        abort(_message(400, "the body is not a JSON object"))
    return body


def _count(fields: dict[str, Any], name: str, least: int = 1) -> int:
    value = fields.get(name, 1)
    if type(value) is not int or not least <= value <= _MAX_COUNT:
        abort(_message(400, f"{name} must be a whole number from {least} to {_MAX_COUNT}"))
    return value


def _message(status: int, message: str) -> Response:
    return make_response(jsonify(message=message), status)
