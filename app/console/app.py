"""Builds the console's Flask app."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flask import Flask, Response, g, make_response, render_template, request
from prometheus_client.exposition import choose_encoder
from werkzeug.exceptions import HTTPException

from app.audit.problem import Problem
from app.audit.problems import canary_problems, loss_problems
from app.console import cells, dead_letters, deliveries, jobs, lists, login, overview, reveal, search
from app.console.access import Pages
from app.console.ledger_reader import LedgerReader, LedgerUnreadableError
from app.console.menu import MENU
from app.console.metrics import registry
from app.console.problem_finder import ProblemFinder
from app.storage import reports
from app.storage.connection import Connection
from config.settings import ConsoleSettings

# The browser loads scripts and styles of this server alone, and runs none that a page holds.
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_app(
    current: Callable[[], ConsoleSettings], ledger: LedgerReader | None = None, finder: ProblemFinder | None = None
) -> Flask:
    """Return the console's app, which reads by `ledger` and shows what `finder` finds.

    `current` returns the settings, with the password of now.
    """
    app, settings = Flask(__name__), current()
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= cells.FILTERS
    ledger = ledger or LedgerReader(settings.database_url)
    pages = Pages(ledger, lambda: current().password)
    _add_health(pages, settings)
    login.add_routes(pages, settings.oidc)
    if settings.oidc:
        from app.console import single_sign_on  # noqa: PLC0415 - it needs the extra `oidc`

        single_sign_on.add_routes(pages, current)
    overview.add_routes(pages, finder or ProblemFinder(settings))
    deliveries.add_routes(pages)
    dead_letters.add_routes(pages)
    jobs.add_routes(pages)
    lists.add_routes(pages)
    reveal.add_routes(pages)
    search.add_routes(pages, settings.search_key)
    app.register_blueprint(pages.blueprint)
    app.extensions["needs"] = pages.needs

    @app.context_processor
    def shown_everywhere() -> dict[str, Any]:
        now = datetime.now(UTC)
        return {"now": now, "ago": partial(overview.ago, now=now), "session": g.get("session"), "menu": MENU}

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        response.headers.update(_SECURITY_HEADERS)
        # Files of the console may be kept if they are still the same; a page holds personal data.
        response.headers["Cache-Control"] = "no-cache" if request.endpoint == "static" else "no-store"
        return response

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response:
        shown = render_template("error.html", title=error.name, problem=error.description)
        return make_response(shown, error.code or 500)

    @app.errorhandler(LedgerUnreadableError)
    def ledger_unreadable(error: LedgerUnreadableError) -> Response:
        if request.endpoint == "pages.readyz":
            return Response(f"{error}\n", 503, content_type="text/plain; charset=utf-8")
        shown = render_template("error.html", title="Something is wrong", problem=error.problem, repeats=True)
        return make_response(shown, 503)

    return app


def _add_health(pages: Pages, settings: ConsoleSettings) -> None:
    """Add what machines ask. Health checks send no password, and the answer holds nothing but health."""
    exposition = registry(settings)

    @pages.get("/livez", "open")
    def livez() -> str:
        return "alive\n"

    @pages.get("/readyz", "open")
    def readyz() -> Response:
        with pages.connect() as connection:
            problems = list(map(str, _unready(settings, connection)))
        return Response("\n".join(problems or ["ready"]) + "\n", 503 if problems else 200, content_type="text/plain")

    @pages.get("/metrics", "machine")
    def metrics() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(exposition), content_type=content_type)


def _unready(settings: ConsoleSettings, connection: Connection) -> list[Problem]:
    """Return missing deliveries, and canaries that are late."""
    canaries = canary_problems(reports.canaries(connection), settings.providers, settings.canary_max_age_seconds)
    return [*loss_problems(reports.audits(connection)), *canaries]
