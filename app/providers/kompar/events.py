"""Turns Kompar's bodies into events.

Kompar sends no event id and encrypts every attempt again, so only its content identifies a retry.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any

from app.crypto.digests import Fingerprints
from app.domain.delivery import Payload
from app.domain.event import Content, Entity, Event, Projection, field_flags
from app.domain.national_ids import ten_digits
from app.domain.retries import RetrySchedule
from app.domain.schema_drift import Undeclared
from app.errors import MISSING_ID, InvalidDeliveryError
from app.providers.kompar.envelope import open_body, plaintexts
from app.providers.kompar.schemas import (
    CHECKS,
    Application,
    Decision,
    is_company_type,
    is_purpose,
    normal_company_id,
    normal_company_type,
    normal_purpose,
)
from app.providers.schema import LenientSchema, declared_shape, entity_id, table_row
from config.environment import Environment

# Kompar waits so long after each failed try, which may take 10 s to fail.
_SCHEDULE = RetrySchedule.of_waits(
    waits=(timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=15), timedelta(hours=1)),
    timeout=timedelta(seconds=10),
)
# Kompar's sandbox sends these for "no value".
_NO_VALUE: tuple[Any, ...] = (-1, "-1", "-1.0", "blank")

_APPLICATION_COLUMNS = (
    "name", "company_id", "company_name", "company_type", "company_revenue", "company_age",
    "amount", "duration", "purpose", "company_last_year_revenue", "company_description", "attachments",
    "description_of_property",
)  # fmt: skip
_DECISION_COLUMNS = ("accepted", "phone", "email", "offer_id")
# Column → key with a person's or a company's number.
_PSEUDONYMS = {"person_key": "ssn", "company_key": "company_id"}
_NORMAL_FORMS: dict[str, Callable[[Any], Any]] = {
    "purpose": normal_purpose, "company_id": normal_company_id, "company_type": normal_company_type,
}  # fmt: skip


def _row(topic: str, columns: tuple[str, ...], content: Content) -> dict[str, Any]:
    row = table_row(_without_no_value(content, columns), _SCHEMAS[topic], columns, elsewhere=("application_id",))
    return {column: _NORMAL_FORMS[column](value) if column in _NORMAL_FORMS else value for column, value in row.items()}


def _application_row(content: Content) -> dict[str, Any]:
    guarantors = content.get("guarantors")
    count = len(guarantors) if isinstance(guarantors, list) else None
    return _row("applications", _APPLICATION_COLUMNS, content) | {"guarantor_count": count}


def _without_no_value(content: Content, columns: Collection[str]) -> Content:
    """Return content with null for "no value" in columns."""
    return {key: None if key in columns and value in _NO_VALUE else value for key, value in content.items()}


_SCHEMAS: dict[str, LenientSchema] = {"applications": Application(), "decisions": Decision()}
_SHAPES = {
    "applications": declared_shape(_SCHEMAS["applications"], {"purpose": is_purpose, "company_type": is_company_type}),
    "decisions": declared_shape(_SCHEMAS["decisions"]),
}
_PROJECTIONS = {
    "applications": Projection("kompar_applications", "state", _application_row),
    "decisions": Projection("kompar_decisions", "state", partial(_row, "decisions", _DECISION_COLUMNS), "accepted"),
}


def _undeclared(topic: str, content: Content) -> tuple[Undeclared, ...]:
    """Return what is undeclared; "no value" is none, but nearly every content has nothing undeclared as it is."""
    shape = _SHAPES[topic]
    return shape.undeclared(content) and shape.undeclared(_without_no_value(content, _SCHEMAS[topic].fields))


class Kompar:
    """Opens and validates Kompar's deliveries."""

    def __init__(self, keys: tuple[tuple[str, bytes], ...], fingerprints: Fingerprints) -> None:
        """Open with any of the keys, (id, 32 bytes), newest first."""
        self._keys = keys
        self.key_ids = [key_id for key_id, _ in keys]
        self._fingerprints = fingerprints

    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> Payload:
        """Decrypt the body if it is an envelope, and parse it."""
        (content, duplicates), opened_by = open_body(body, self._keys)
        body_digest = sha256(body).hexdigest()[:32] if opened_by else None
        return Payload(topic, headers, content, opened_by, body_digest, duplicates)

    def plaintexts(self, body: bytes) -> Iterator[bytes]:
        """Yield the body, or what the keys make of it if it is an envelope."""
        return plaintexts(body, self._keys)

    def projection(self, event_type: str) -> Projection | None:
        """Return the table of applications or of decisions."""
        return _PROJECTIONS.get(event_type)

    def validate(self, payload: Payload) -> Event:
        """Identify the application, and flag what is doubtful. The event keeps the content as it was sent, masked."""
        schema = _SCHEMAS[payload.topic]
        application_id = entity_id(payload.content.get("application_id"))
        if application_id is None:
            raise InvalidDeliveryError(MISSING_ID, "application_id is missing, or neither a text nor a whole number")
        content, persons = self._fingerprints.mask(payload.content)
        _, misfits = schema.convert(_without_no_value(content, schema.fields))
        return Event(
            entity=Entity("kompar", payload.topic, self._fingerprints.identity(application_id)),
            content=content,
            digests=self._fingerprints.digests(payload.content),
            field_flags=field_flags(payload.content, CHECKS, misfits),
            schedule=_SCHEDULE,
            projection=_PROJECTIONS[payload.topic],
            body_digest=payload.body_digest,
            pseudonyms=self._pseudonyms(payload.content),
            persons=persons,
            undeclared=_undeclared(payload.topic, payload.content),
        )

    def _pseudonyms(self, content: Content) -> dict[str, str | None]:
        """Return the pseudonyms of applicant and company. A sole trader's company has the pseudonym of its owner."""
        numbers = {column: content[key] for column, key in _PSEUDONYMS.items() if key in content}
        return {column: self._fingerprints.pseudonym(ten_digits(number)) for column, number in numbers.items()}


def read(environment: Environment) -> Kompar:
    """Read KOMPAR_KEYS, `id=key` pairs, and FINGERPRINT_KEY. Kompar's keys are texts, used unchanged."""
    listed = environment.labelled_secrets("KOMPAR_KEYS", min_length=0)  # the length is fixed, see below
    keys = tuple((key_id, value.encode()) for key_id, value in listed)
    for key_id, key in keys:
        if len(key) != 32:
            hint = "Give the 32-character text as Kompar sent it"
            environment.fault("KOMPAR_KEYS", f"{key_id} has {len(key)} characters", hint)
    return Kompar(keys, Fingerprints(environment.key("FINGERPRINT_KEY")))
