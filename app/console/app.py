"""Builds the console's Flask app: one page, health, metrics."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, render_template, request

from app.console import overview as overviews
from app.console.metrics import exposition
from app.errors import StoreUnavailableError
from app.health.readiness import doubts
from app.storage.connection import Connection, session
from config.environment import ConfigurationError
from config.settings import ConsoleSettings

T = TypeVar("T")
_OPEN = frozenset({"pages.livez", "pages.readyz"})  # probes carry no password, and learn nothing but health
# The page is a document and a style sheet: nothing else is loaded, run, framed, sent or kept.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_app(settings: ConsoleSettings) -> Flask:
    """Return the console."""
    app = Flask(__name__, static_folder=None)

    def read(query: Callable[[Connection], T]) -> T:
        with session(settings.database_url, "console", statement_timeout="8s") as connection:
            return query(connection)

    @app.before_request
    def authenticate() -> Response | None:
        given = (request.authorization.password or "") if request.authorization else ""
        if request.endpoint in _OPEN or hmac.compare_digest(given.encode(), settings.password.encode()):
            return None
        return Response("The password is CONSOLE_PASSWORD.\n", 401, {"WWW-Authenticate": 'Basic realm="kvitto"'})

    @app.after_request
    def harden(answer: Response) -> Response:
        answer.headers.update(_HEADERS)
        return answer

    @app.errorhandler(StoreUnavailableError)
    @app.errorhandler(ConfigurationError)
    def unreadable(error: StoreUnavailableError | ConfigurationError) -> Response:
        trouble = f"The ledger cannot be read now: {error}"
        if request.endpoint == "pages.overview":
            return Response(_page([trouble], None), 503)
        return Response(f"{trouble}\n", 503, content_type="text/plain; charset=utf-8")

    app.register_blueprint(_pages(read, settings))
    return app


def _pages(read: Callable[[Callable[[Connection], Any]], Any], settings: ConsoleSettings) -> Blueprint:
    judge = partial(doubts, providers=settings.providers, limit_seconds=settings.canary_max_age_seconds)
    pages = Blueprint("pages", __name__)

    @pages.get("/livez")
    def livez() -> str:
        return "alive\n"

    @pages.get("/readyz")
    def readyz() -> Response:
        found = read(judge)
        return Response("\n".join(found or ["ready"]) + "\n", 503 if found else 200, content_type="text/plain")

    @pages.get("/metrics")
    def metrics() -> Response:
        return Response(read(exposition), content_type="text/plain; version=0.0.4; charset=utf-8")

    @pages.get("/style.css")
    def style() -> Response:
        return Response(render_template("style.css"), content_type="text/css; charset=utf-8")

    @pages.get("/")
    def overview() -> str:
        found: overviews.Overview = read(overviews.read)
        return _page(found.troubles, found)

    return pages


def _page(troubles: list[str], overview: overviews.Overview | None) -> str:
    now = datetime.now(UTC)
    ago = partial(overviews.ago, now=now)
    return render_template("overview.html", troubles=troubles, overview=overview, now=now, ago=ago)
