"""Pages that list what the ledger has: rejected requests, providers, audits, schema drift, feed, access log."""

from typing import get_args
from uuid import UUID

from flask import abort, render_template, request

from app.console.access import Pages
from app.storage import access_log, audits, credentials, rejected, reports, subscriptions
from app.storage.access_log import Action, Wanted
from app.storage.connection import Connection

_MOST = 200


def add_routes(pages: Pages) -> None:
    """Add the lists."""

    @pages.get("/rejected", "read")
    def rejections(connection: Connection) -> str:
        shown = {"kept": rejected.summary(connection), "clients": rejected.by_client(connection, _MOST)}
        return render_template("rejected.html", live=True, **shown)

    @pages.get("/providers", "read")
    def providers(connection: Connection) -> str:
        return render_template(
            "providers.html",
            live=True,
            topics=reports.silence(connection),
            credentials=credentials.select(connection),
            subscriptions=subscriptions.select(connection),
        )

    @pages.get("/audits", "read")
    def audit_list(connection: Connection) -> str:
        shown = {"accounts": reports.accounts(connection), "losses": audits.all_accepted(connection)}
        return render_template("audits.html", live=True, **shown)

    @pages.get("/drift", "read")
    def drift(connection: Connection) -> str:
        return render_template("drift.html", live=True, found=reports.schema_drift(connection))

    @pages.get("/feed", "read")
    def feed(connection: Connection) -> str:
        return render_template("feed.html", live=True, consumers=reports.feed_consumers(connection))

    @pages.get("/log", "read-log")
    def log(connection: Connection) -> str:
        action, receipt, before = (request.args.get(name) for name in ("action", "receipt", "before"))
        try:
            wanted = Wanted(action or None, UUID(receipt) if receipt else None, None, int(before) if before else None)
        except ValueError:
            abort(400, "The address names no receipt, or no place in the log.")
        rows = access_log.select(connection, wanted, _MOST)
        return render_template("log.html", live=not before, rows=rows, actions=get_args(Action), most=_MOST)
