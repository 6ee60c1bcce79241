"""Makes events of Kompar's bodies: what each is about, and where it is laid out.

Kompar numbers nothing and encrypts every try anew, so a retry is recognised by its content.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from marshmallow import Schema, ValidationError

from app.crypto.digests import Fingerprints
from app.domain.delivery import Payload
from app.domain.event import Content, Entity, Event, Projection, field_flags
from app.domain.json_content import flatten
from app.domain.masking import mask
from app.errors import INVALID, MISSING_ID, InvalidDeliveryError
from app.providers.kompar.envelope import open_body
from app.providers.kompar.schemas import CHECKS, Application, Decision
from app.providers.kompar.settings import KomparSettings
from config.environment import Environment

# The schedule ends 1 h 18 min after the first try; the rest is room for slow answers.
_HORIZON = timedelta(hours=2)
# What Kompar's sandbox sends for "no value".
_NO_VALUE: tuple[Any, ...] = (-1, "blank")

_APPLICATION_COLUMNS = (
    "name", "company_id", "company_name", "company_type", "company_revenue", "company_age",
    "amount", "duration", "purpose",
)  # fmt: skip
_DECISION_COLUMNS = ("accepted", "phone", "email", "offer_id")


def _row(schema: Schema, columns: tuple[str, ...], content: Content) -> dict[str, Any]:
    """Lay content out in columns; what has none of its own goes whole to `extra`."""
    loaded = schema.load(content)
    found = ((column, loaded.get(column)) for column in columns)
    row = {column: None if value in _NO_VALUE else value for column, value in found}
    row["extra"] = {key: value for key, value in content.items() if key != "application_id" and key not in row}
    return row


def _application_row(schema: Schema, content: Content) -> dict[str, Any]:
    row = _row(schema, _APPLICATION_COLUMNS, content)
    guarantors = content.get("guarantors")
    return row | {"guarantor_count": None if guarantors is None else len(guarantors)}


_SCHEMAS: dict[str, Schema] = {"applications": Application(), "decisions": Decision()}
_TABLES = {
    "applications": Projection("kompar_applications", "state", partial(_application_row, _SCHEMAS["applications"])),
    "decisions": Projection("kompar_decisions", "state", partial(_row, _SCHEMAS["decisions"], _DECISION_COLUMNS)),
}


class Kompar:
    """Opens and validates what Kompar sends."""

    def __init__(self, settings: KomparSettings, fingerprints: Fingerprints) -> None:
        self._keys = settings.keys
        self._fingerprints = fingerprints

    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> Payload:
        """Decrypt if it is an envelope, and parse."""
        content, opened_by = open_body(body, self._keys)
        return Payload(topic, headers, content, opened_by)

    def validate(self, payload: Payload) -> Event:
        """Check against the topic's schema; the content is kept as it was sent, masked."""
        content = payload.content
        application_id = content.get("application_id")
        if not isinstance(application_id, str) or not application_id.strip():
            raise InvalidDeliveryError(MISSING_ID, "application_id is missing or not a text")
        try:
            _SCHEMAS[payload.topic].load(content)
        except ValidationError as error:
            raise InvalidDeliveryError(INVALID, flatten(error.messages_dict)) from error
        return Event(
            entity=Entity("kompar", payload.topic, application_id),
            content=mask(content),
            digests=self._fingerprints.digests(content),
            field_flags=field_flags(content, CHECKS),
            horizon=_HORIZON,
            projection=_TABLES[payload.topic],
        )


def read(environment: Environment) -> Kompar:
    """Read KOMPAR_KEYS and FINGERPRINT_KEY."""
    return Kompar(KomparSettings.read(environment), Fingerprints(environment.key("FINGERPRINT_KEY")))
