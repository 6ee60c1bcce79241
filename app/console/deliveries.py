"""The list of deliveries, a delivery, and an entity with all of its revisions."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, abort, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from app.console.access import Pages, current
from app.console.revisions import compare
from app.errors import REASONS
from app.processing import timeline
from app.storage import access_log, deliveries, reports
from app.storage.access_log import Access
from app.storage.connection import Connection
from app.storage.deliveries import Filter

OUTCOMES = ("stored", "duplicate", "dead", "discarded")
_COLUMNS = (
    "receipt", "received_at", "provider", "topic", "outcome", "reason", "event_type", "entity_id", "revision", "flags",
)  # fmt: skip
# So many receipts of an entity are shown, and so many of its revisions side by side.
_MOST_RECEIPTS, _MOST_REVISIONS = 500, 8


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_READ: Mapping[str, Callable[[str], Any]] = {
    "since": _moment,
    "until": _moment,
    "person": lambda text: str(UUID(text)),
    "before": UUID,
}


def read_filter(arguments: MultiDict[str, str]) -> Filter:
    """Return the filter that an address names; refuse what is no filter."""
    given = {name: arguments[name].strip() for name in Filter.__dataclass_fields__ if arguments.get(name, "").strip()}
    try:
        return Filter(**{name: _READ.get(name, str)(text) for name, text in given.items()})
    except ValueError:
        abort(400, "The address names no filter: times are written like 2026-11-01T08:00, receipts as UUIDs.")


def add_routes(pages: Pages) -> None:
    """Add the pages about deliveries."""

    @pages.get("/deliveries", "read")
    def delivery_list(connection: Connection) -> str:
        found = deliveries.select(connection, read_filter(request.args))
        providers = [row["provider"] for row in reports.freshness(connection)]
        topics = sorted({row["topic"] for row in reports.silence(connection) if row["topic"]})
        choices = {"provider": providers, "topic": topics, "outcome": OUTCOMES, "reason": REASONS}
        return render_template(
            "deliveries.html", live=not request.args.get("before"), found=found, choices=choices, address=_address
        )

    @pages.get("/deliveries.<form>", "download")
    def download(connection: Connection, form: str) -> Response:
        if form not in ("csv", "json"):
            abort(404)
        wanted = read_filter(request.args)
        access_log.record(connection, Access("download", current().user.name, subject=request.full_path[:500]))
        written, content_type = (_as_csv, "text/csv") if form == "csv" else (_as_json, "application/json")
        headers = {"Content-Disposition": f'attachment; filename="deliveries.{form}"'}
        return Response(written(_portions(pages, wanted)), headers=headers, content_type=content_type)

    @pages.get("/deliveries/<uuid:receipt>", "read")
    def delivery(connection: Connection, receipt: UUID) -> str:
        found = timeline.read(connection, receipt)
        if found is None:
            abort(404, f"The ledger has no receipt {receipt}. A delivery that waits has none yet.")
        return render_template("delivery.html", live=True, receipt=receipt, found=found)

    @pages.get("/entities/<provider>/<path:entity_id>", "read")
    def entity(connection: Connection, provider: str, entity_id: str) -> str:
        receipts = deliveries.of_entity(connection, provider, entity_id, _MOST_RECEIPTS)
        if not receipts:
            abort(404, f"{provider} sent nothing about {entity_id}, or it was erased.")
        types = sorted({row["event_type"] for row in receipts})
        tables = [compare([row for row in receipts if row["event_type"] == each], _MOST_REVISIONS) for each in types]
        shown = {"provider": provider, "entity_id": entity_id, "receipts": receipts, "tables": tables}
        return render_template("entity.html", live=True, most=_MOST_RECEIPTS, **shown)


def _address(**changes: Any) -> str:
    """Return the address of this list with other filters."""
    given = {name: text for name, text in (request.args.to_dict() | changes).items() if text}
    return f"{url_for('pages.delivery_list')}?{urlencode(given)}"


def _portions(pages: Pages, wanted: Filter) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a download, on a connection of its own: the page's ends before its answer is sent."""
    with pages.connect() as connection:
        for rows in deliveries.download(connection, wanted):
            yield [{name: row[name] for name in _COLUMNS} for row in rows]


def _as_json(portions: Iterable[list[dict[str, Any]]]) -> Iterator[str]:
    """Yield rows as an array of JSON, a row in a line."""
    before = "["
    for rows in filter(None, portions):
        yield before + ",\n".join(json.dumps(row, default=str, ensure_ascii=False) for row in rows)
        before = ",\n"
    yield "]\n" if before == ",\n" else "[]\n"


def _as_csv(portions: Iterable[list[dict[str, Any]]]) -> Iterator[str]:
    """Yield rows as CSV. What a spreadsheet would take for a formula begins with an apostrophe."""
    yield ",".join(_COLUMNS) + "\r\n"
    for rows in portions:
        text = io.StringIO()
        writer = csv.writer(text)
        for row in rows:
            cells = [", ".join(value) if isinstance(value, list) else value for value in row.values()]
            writer.writerow([f"'{cell}" if str(cell)[:1] in tuple("=+-@\t\r") else cell for cell in cells])
        yield text.getvalue()
