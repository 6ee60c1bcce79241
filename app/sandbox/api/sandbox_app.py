"""The sandbox's Flask app: the providers' APIs, and admin routes, which the providers do not have."""

from collections.abc import Sequence
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Any, NoReturn

from flask import Blueprint, Flask, Response, abort, jsonify, make_response, request
from flask.typing import ResponseReturnValue

from app.sandbox.api.kompar_api import KomparApi
from app.sandbox.api.provider_api import ProviderApi, SharedParts, json_object
from app.sandbox.api.solaris_api import SolarisApi
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.faults import FAULTS, DeliveryFault
from app.sandbox.kompar import TOPICS

_MAX_COUNT = 1000
# Faults treat all event types of Solaris alike.
_TOPICS = (*(("kompar", topic) for topic in TOPICS), ("solaris", "*"))


def create_app(parts: SharedParts) -> Flask:
    """Return the app."""
    apis = [KomparApi(parts, is_test=False), KomparApi(parts, is_test=True), SolarisApi(parts)]
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(_admin_routes(apis, parts.dispatcher))
    for api in apis:
        app.register_blueprint(api.blueprint())
    # The providers treat a wrong method as an unknown address.
    app.register_error_handler(405, lambda _: Response(status=404))
    return app


def _admin_routes(apis: Sequence[ProviderApi], dispatcher: Dispatcher) -> Blueprint:
    """Return the routes: /sandbox for all APIs, and /sandbox below the path of each."""
    routes = Blueprint("admin", __name__)
    routes.before_request(_reject_other_machines)
    routes.get("/sandbox", endpoint="state")(lambda: _state(apis, dispatcher))
    routes.post("/sandbox/lose-timers", endpoint="lose")(lambda: {"lost": dispatcher.lose_timers()})
    for api in apis:
        routes.post(f"/{api.path}/sandbox/send", endpoint=f"send-{api.path}")(partial(_send, api, apis))
        routes.post(f"/{api.path}/sandbox/fail", endpoint=f"fail-{api.path}")(partial(_fail, api))
    return routes


def _reject_other_machines() -> None:
    address = ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104 - compared, not bound
    if isinstance(address, IPv6Address) and address.ipv4_mapped:  # an IPv4 client of `--bind [::]:8443`
        address = address.ipv4_mapped
    if not address.is_loopback:
        _reject(403, "only this machine may ask for that")


def _state(apis: Sequence[ProviderApi], dispatcher: Dispatcher) -> ResponseReturnValue:
    """Return subscriptions, deliveries by final status, calls that are to fail, and the faults."""
    subscriptions = [subscription for api in apis for subscription in api.subscriptions()]
    return {
        "subscriptions": [
            {name: getattr(row, name) for name in ("id", "api", "topic", "url")} for row in subscriptions
        ],
        "pending": dispatcher.pending,
        "final_statuses": dispatcher.final_statuses,
        "failing": {api.path: api.calls_to_fail for api in apis},
        "faults": {name: {"does": fault.description, "topics": _topics(fault)} for name, fault in FAULTS.items()},
    }


def _topics(fault: DeliveryFault) -> list[str]:
    return [f"{provider}/{topic}" for provider, topic in _TOPICS if fault.applies_to(provider, topic)]


def _send(api: ProviderApi, apis: Sequence[ProviderApi]) -> ResponseReturnValue:
    """Deliver generated events to the subscribers of a topic."""
    fields = _fields()
    topic, fault = str(fields.get(api.topic_key)), fields.get("fault")
    provider = api.path.partition("/")[0]
    if fault is not None and fault not in [name for name in FAULTS if FAULTS[name].applies_to(provider, topic)]:
        _reject(400, f"{topic} has no fault {fault!r}; GET /sandbox lists all")
    if api.event(topic) is None:
        _reject(400, f"{api.topic_key} is missing, or nothing that {provider} sends")
    if not api.subscriptions(topic):
        paths = " and ".join(f"/{other.path}" for other in apis if other.subscriptions(topic))
        hint = f", but there are subscribers at {paths}" if paths else ""
        _reject(404, f"{topic} has no subscriber at /{api.path}{hint}")
    events = [event for _ in range(_count(fields, "count", 1)) if (event := api.event(topic))]
    for event in events:
        api.send(event, fault)
    return {"events": [event.id for event in events]}


def _fail(api: ProviderApi) -> ResponseReturnValue:
    """Make the API answer its next calls with 500; 0 ends that."""
    api.calls_to_fail = calls = _count(_fields(), "calls", 0)
    return {"calls": calls}


def _fields() -> dict[str, Any]:
    body = json_object() if request.get_data() else {}
    if body is None:
        _reject(400, "the body is not a JSON object")
    return body


def _count(fields: dict[str, Any], name: str, least: int) -> int:
    value = fields.get(name, 1)
    if type(value) is not int or not least <= value <= _MAX_COUNT:
        _reject(400, f"{name} must be a whole number from {least} to {_MAX_COUNT}")
    return value


def _reject(status: int, message: str) -> NoReturn:
    abort(make_response(jsonify(message=message), status))
