"""Builds the console's Flask app: one page, health, metrics."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, render_template, request
from prometheus_client.exposition import choose_encoder

from app.audit.problems import loss_problems
from app.console import overview as overviews
from app.console.inboxes import InboxReader
from app.console.metrics import registry
from app.domain.clocks import TOLERATED_SECONDS
from app.errors import StoreUnavailableError
from app.storage import reports
from app.storage.connection import Connection, session
from config.environment import ConfigurationError
from config.settings import ConsoleSettings

T = TypeVar("T")
# Health checks send no password, and the answer holds nothing but health.
_WITHOUT_PASSWORD = frozenset({"pages.livez", "pages.readyz"})
# The page is a document and a style sheet. The browser must not load, run, frame, send or store anything else.
_SECURITY_HEADERS = {
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
    """Return the console's app."""
    app = Flask(__name__, static_folder=None)

    def read(query: Callable[[Connection], T]) -> T:
        with session(settings.database_url, "console") as connection:
            return query(connection)

    @app.before_request
    def authenticate() -> Response | None:
        password = (request.authorization.password or "") if request.authorization else ""
        is_right = hmac.compare_digest(password.encode(), settings.password.encode())
        if is_right or request.endpoint in _WITHOUT_PASSWORD:
            return None
        return Response("The password is CONSOLE_PASSWORD.\n", 401, {"WWW-Authenticate": 'Basic realm="kvitto"'})

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        response.headers.update(_SECURITY_HEADERS)
        return response

    @app.errorhandler(StoreUnavailableError)
    @app.errorhandler(ConfigurationError)
    def ledger_unavailable(error: StoreUnavailableError | ConfigurationError) -> Response:
        problem = f"The ledger cannot be read now: {error}"
        if request.endpoint == "pages.overview":
            return Response(_page({"problems": [problem]}), 503)
        return Response(f"{problem}\n", 503, content_type="text/plain; charset=utf-8")

    app.register_blueprint(_pages(read, settings))
    return app


def _pages(read: Callable[[Callable[[Connection], Any]], Any], settings: ConsoleSettings) -> Blueprint:
    pages = Blueprint("pages", __name__)
    exposition, inboxes = registry(settings), InboxReader(settings)

    @pages.get("/livez")
    def livez() -> str:
        return "alive\n"

    @pages.get("/readyz")
    def readyz() -> Response:
        problems = [*read(lambda connection: loss_problems(reports.audits(connection)))]
        problems += read(partial(_canary_problems, settings))
        return Response("\n".join(problems or ["ready"]) + "\n", 503 if problems else 200, content_type="text/plain")

    @pages.get("/metrics")
    def metrics() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(exposition), content_type=content_type)

    @pages.get("/style.css")
    def style() -> Response:
        return Response(render_template("style.css"), content_type="text/css; charset=utf-8")

    @pages.get("/")
    def overview() -> str:
        return _page(read(partial(overviews.read, inboxes=inboxes.backlogs)))

    return pages


def _canary_problems(settings: ConsoleSettings, connection: Connection) -> list[str]:
    """Return a sentence for each provider whose newest canary is too old, or that has none.

    Canaries take the path of deliveries. They are optional: empty if no provider has ever had one, or if the limit is
    0. The database's clock counts; a sender whose clock is slow makes its canaries look older.
    """
    limit = settings.canary_max_age_seconds
    ages = {row["provider"]: row["age_seconds"] for row in reports.canaries(connection)}
    problems = []
    for provider in settings.providers if ages and limit else ():
        age = ages.get(provider)
        if age is None:
            problems.append(f"{provider}: no canary has arrived yet. Check beat, ingest and the worker.")
        elif age > limit:
            hint = "Check the worker, beat and ingest, and beat's clock."
            problems.append(f"{provider}: the newest canary is {age:.0f} s old, more than {limit} s. {hint}")
        elif age < -TOLERATED_SECONDS:
            ahead = f"the newest canary was sent {-age:.0f} s in the future"
            problems.append(f"{provider}: {ahead}. Was the clock of Postgres set back?")
    return problems


def _page(shown: dict[str, Any]) -> str:
    now = datetime.now(UTC)
    return render_template("overview.html", now=now, ago=partial(overviews.ago, now=now), **shown)
