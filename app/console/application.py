"""Builds the console's Flask app: one page, health, metrics."""

import hmac
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, render_template, request

from app.console.gauges import exposition
from app.console.readiness import doubts
from app.errors import Unavailable
from app.storage import reports
from app.storage.connection import Connection, connect, sorted_failures
from config.settings import ConsoleSettings

T = TypeVar("T")
_OPEN = frozenset({"pages.livez", "pages.readyz"})  # probes carry no password, and learn nothing but health


def create_app(settings: ConsoleSettings) -> Flask:
    """Return the console."""
    app = Flask(__name__, static_folder=None)

    def read(query: Callable[[Connection], T]) -> T:
        with sorted_failures(), connect(settings.database_url, "console") as connection:
            return query(connection)

    @app.before_request
    def authenticate() -> Response | None:
        given = (request.authorization.password or "") if request.authorization else ""
        if request.endpoint in _OPEN or hmac.compare_digest(given.encode(), settings.password.encode()):
            return None
        return Response("The password is CONSOLE_PASSWORD.\n", 401, {"WWW-Authenticate": 'Basic realm="kvitto"'})

    @app.errorhandler(Unavailable)
    def unavailable(error: Unavailable) -> Response:
        return Response(f"Postgres cannot be read now: {error}\n", 503, content_type="text/plain")

    app.register_blueprint(_pages(read, settings))
    return app


def _pages(read: Callable[[Callable[[Connection], Any]], Any], settings: ConsoleSettings) -> Blueprint:
    judge = partial(doubts, providers=settings.providers, limit_seconds=settings.canary_limit_seconds)
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

    @pages.get("/")
    def overview() -> str:
        return render_template("overview.html", sections=read(lambda connection: list(_sections(connection))))

    return pages


def _sections(connection: Connection) -> Iterator[tuple[str, reports.Rows, str]]:
    yield "Deliveries by outcome", reports.conservation(connection), "No delivery yet."
    yield "Freshness", reports.freshness(connection), "No worker has looked into an inbox yet."
    yield "Dead letters", reports.newest_deliveries(connection, "dead"), "None."
    yield "Throughput, last hour", reports.throughput(connection), "No delivery in the last hour."
    yield "Newest events", reports.newest_events(connection), "None yet."
