"""The jobs that workers do with dead letters: progress, and the result of each letter."""

from uuid import UUID

from flask import abort, redirect, render_template, url_for
from werkzeug.wrappers import Response

from app.console.access import Pages, current
from app.storage import operator_jobs
from app.storage.connection import Connection

# So many jobs, and so many letters of one, are shown.
_MOST_JOBS, _MOST_LETTERS = 100, 500


def add_routes(pages: Pages) -> None:
    """Add the list of jobs, a job, and its end."""

    @pages.get("/jobs", "read")
    def job_list(connection: Connection) -> str:
        return render_template("jobs.html", live=True, jobs=operator_jobs.select(connection, _MOST_JOBS))

    @pages.get("/jobs/<uuid:job>", "read")
    def job_page(connection: Connection, job: UUID) -> str:
        found = operator_jobs.find(connection, job)
        if found is None:
            abort(404, f"There is no job {job}.")
        items = operator_jobs.items(connection, job, _MOST_LETTERS)
        return render_template("job.html", live=True, job=found, items=items)

    @pages.post("/jobs/<uuid:job>/cancel", "replay")
    def cancel(connection: Connection, job: UUID) -> Response:
        operator_jobs.cancel(connection, job, current().user.name)
        return redirect(url_for("pages.job_page", job=job), 303)
