"""Builds the console's Flask app: one page, health, metrics."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flask import Blueprint, Flask, Response, render_template, request
from prometheus_client.exposition import choose_encoder

from app.audit.problem import Problem
from app.audit.problems import canary_problems, loss_problems
from app.console import overview as overviews
from app.console.ledger_reader import LedgerReader, LedgerUnreadableError
from app.console.metrics import registry
from app.inbox.reader import InboxReader
from app.storage import reports
from app.storage.connection import Connection
from config.settings import ConsoleSettings

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


def create_app(current: Callable[[], ConsoleSettings], ledger: LedgerReader | None = None) -> Flask:
    """Return the console's app, which reads by `ledger`. `current` returns the settings, with the password of now."""
    app, settings = Flask(__name__, static_folder=None), current()
    ledger = ledger or LedgerReader(settings.database_url)

    @app.before_request
    def authenticate() -> Response | None:
        password = (request.authorization.password or "") if request.authorization else ""
        is_right = hmac.compare_digest(password.encode(), current().password.encode())
        if is_right or request.endpoint in _WITHOUT_PASSWORD:
            return None
        return Response("The password is CONSOLE_PASSWORD.\n", 401, {"WWW-Authenticate": 'Basic realm="kvitto"'})

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        response.headers.update(_SECURITY_HEADERS)
        return response

    @app.errorhandler(LedgerUnreadableError)
    def ledger_unreadable(error: LedgerUnreadableError) -> Response:
        if request.endpoint == "pages.overview":
            return Response(_page({"problems": [error.problem]}), 503)
        return Response(f"{error}\n", 503, content_type="text/plain; charset=utf-8")

    app.register_blueprint(_pages(ledger, settings))
    return app


def _pages(ledger: LedgerReader, settings: ConsoleSettings) -> Blueprint:
    pages = Blueprint("pages", __name__)
    exposition, inboxes = registry(settings), InboxReader(settings.redis, settings.providers)

    @pages.get("/livez")
    def livez() -> str:
        return "alive\n"

    @pages.get("/readyz")
    def readyz() -> Response:
        problems = list(map(str, ledger.read(partial(_unready, settings))))
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
        return _page(ledger.read(partial(overviews.read, ask=inboxes.backlogs)))

    return pages


def _unready(settings: ConsoleSettings, connection: Connection) -> list[Problem]:
    """Return missing deliveries, and canaries that are late."""
    canaries = canary_problems(reports.canaries(connection), settings.providers, settings.canary_max_age_seconds)
    return [*loss_problems(reports.audits(connection)), *canaries]


def _page(shown: dict[str, Any]) -> str:
    now = datetime.now(UTC)
    return render_template("overview.html", now=now, ago=partial(overviews.ago, now=now), **shown)
