"""Builds the sandbox's Flask app: both providers' APIs, and its own controls."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from app.sandbox.api.admin import Api, controls
from app.sandbox.api.kompar import KomparApi
from app.sandbox.api.solaris import SolarisApi
from app.sandbox.api.tokens import Clock
from app.sandbox.credentials import Credentials
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.subscriptions import Subscriptions


@dataclass(frozen=True, slots=True)
class Parts:
    """What the APIs share. `clock` tells monotonic seconds, by which tokens expire and calls are counted."""

    subscriptions: Subscriptions
    dispatcher: Dispatcher
    credentials: Credentials
    shake_hands: Callable[[str], int]
    clock: Clock = time.monotonic


def create_app(parts: Parts) -> Flask:
    """Return the app."""
    shared = (parts.subscriptions, parts.dispatcher, parts.credentials, parts.clock)
    apis: list[Api] = [
        KomparApi(False, *shared),
        KomparApi(True, *shared),
        SolarisApi(*shared, shake_hands=parts.shake_hands),
    ]
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(controls(apis, parts.dispatcher))
    for api in apis:
        app.register_blueprint(api.blueprint())
    app.register_error_handler(405, _not_found)
    return app


def _not_found(_error: HTTPException) -> Response:
    """Another method is another address to those who are played here."""
    return Response(status=404)
