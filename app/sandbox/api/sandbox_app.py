"""Builds the sandbox's Flask app: both providers' APIs, and the admin routes."""

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from app.sandbox.api.admin import admin_routes
from app.sandbox.api.kompar_api import KomparApi
from app.sandbox.api.provider_api import SharedParts
from app.sandbox.api.solaris_api import SolarisApi


def create_app(parts: SharedParts) -> Flask:
    """Return the app."""
    apis = [KomparApi(parts, is_test=False), KomparApi(parts, is_test=True), SolarisApi(parts)]
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(admin_routes(apis, parts.dispatcher))
    for api in apis:
        app.register_blueprint(api.blueprint())
    app.register_error_handler(405, _not_found)
    return app


def _not_found(_error: HTTPException) -> Response:
    """Answer 404: the providers treat a wrong method as an unknown address."""
    return Response(status=404)
