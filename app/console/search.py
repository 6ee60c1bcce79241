"""The search: a receipt, an id of an entity, a person by national id, or a company by its number."""

from uuid import UUID

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from app.console.access import Pages, current
from app.crypto.digests import Fingerprints
from app.domain.national_ids import organisation_number, person_numbers
from app.storage import access_log, deliveries
from app.storage.access_log import Access
from app.storage.connection import Connection


def add_routes(pages: Pages, fingerprint_key: bytes) -> None:
    """Add the search. Without the key, no person and no company is found by a number."""

    @pages.post("/search", "read")
    def search(connection: Connection) -> Response:
        text = request.form.get("q", "").strip()
        receipt, is_number = _receipt(text), organisation_number(text) or person_numbers(text)
        if (receipt or is_number) and not deliveries.is_entity(connection, text):  # an entity may have such an id
            found = url_for("pages.delivery", receipt=receipt) if receipt else None
            return redirect(found or _of_number(connection, text, fingerprint_key), 303)
        return redirect(url_for("pages.delivery_list", entity=text), 303)


def _receipt(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _of_number(connection: Connection, text: str, fingerprint_key: bytes) -> str:
    """Return the address of a person's or a company's deliveries. It holds a pseudonym, and never the number."""
    if not current().may("search-persons"):
        abort(403, f"Your role, {current().user.role}, lacks the right “search-persons”.")
    if not fingerprint_key:
        abort(400, "Persons and companies cannot be found: the console lacks FINGERPRINT_KEY.")
    organisation = organisation_number(text)
    pseudonym = Fingerprints(fingerprint_key).pseudonym(organisation or min(person_numbers(text, is_national_id=True)))
    access_log.record(connection, Access("search", current().user.name, subject=pseudonym))
    if organisation:
        return url_for("pages.delivery_list", company=pseudonym)
    return url_for("pages.delivery_list", person=pseudonym)
