"""Dead letters by their cause, and what can be asked for of them: dry runs, replays, discards."""

from uuid import UUID

from flask import abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.console.access import Pages, current
from app.domain.record_text import REASON_LENGTH, record_problem
from app.storage import operator_jobs
from app.storage.connection import Connection
from app.storage.operator_jobs import Kind, Letters


def add_routes(pages: Pages) -> None:
    """Add the groups of dead letters, and what can be asked for."""

    @pages.get("/dead-letters", "read")
    def dead_letters(connection: Connection) -> str:
        return render_template("dead_letters.html", live=True, groups=operator_jobs.groups(connection))

    @pages.post("/dead-letters/dry-run", "replay")
    def dry_run(connection: Connection) -> Response:
        return _asked(connection, "dry-run")

    @pages.post("/dead-letters/replay", "replay")
    def replay(connection: Connection) -> Response:
        return _asked(connection, "replay")

    @pages.post("/dead-letters/discard", "discard")
    def discard(connection: Connection) -> Response:
        return _asked(connection, "discard")


def recorded_reason() -> str:
    """Return why a person does something, as a form says; refuse what cannot be recorded."""
    why = request.form.get("why", "").strip()
    if problem := record_problem(why, REASON_LENGTH):
        abort(400, f"The reason {problem}. Give one line without a national id, for example a case number.")
    return why


def _asked(connection: Connection, kind: Kind) -> Response:
    """Have workers do something with the dead letters that a form names; lead to the job."""
    given = {name: request.form[name] for name in Letters._fields if request.form.get(name)}
    if not given and not request.form.get("all"):
        abort(400, "Name a receipt, a provider, a topic or a reason; or all.")
    try:
        receipt = UUID(given["receipt"]) if "receipt" in given else None
    except ValueError:
        abort(400, "A receipt is written like 01935b3e-7a60-7c3f-8d0a-0123456789ab.")
    letters = Letters(given.get("provider"), given.get("topic"), given.get("reason"), receipt)
    why = None if kind == "dry-run" else recorded_reason()
    job = operator_jobs.request(connection, kind, letters, current().user.name, why)
    if job is None:
        abort(404, "No dead letter matches: they were replayed or discarded meanwhile.")
    return redirect(url_for("pages.job_page", job=job), 303)
