"""Turns Kompar's bodies into events.

Kompar sends no event id and encrypts every attempt again, so only its content identifies a retry.
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

# The retry schedule ends 1 h 18 min after the first attempt; the rest allows for slow answers.
_HORIZON = timedelta(hours=2)
# Kompar's sandbox sends these for "no value".
_NO_VALUE: tuple[Any, ...] = (-1, "blank")

_APPLICATION_COLUMNS = (
    "name", "company_id", "company_name", "company_type", "company_revenue", "company_age",
    "amount", "duration", "purpose",
)  # fmt: skip
_DECISION_COLUMNS = ("accepted", "phone", "email", "offer_id")


def _row(schema: Schema, columns: tuple[str, ...], content: Content) -> dict[str, Any]:
    """Return the columns of a projection; `extra` holds every key that has no column."""
    loaded = schema.load(content)
    row = {column: None if (value := loaded.get(column)) in _NO_VALUE else value for column in columns}
    row["extra"] = {key: value for key, value in content.items() if key != "application_id" and key not in row}
    return row


def _application_row(schema: Schema, content: Content) -> dict[str, Any]:
    guarantors = content.get("guarantors")
    count = None if guarantors is None else len(guarantors)
    return _row(schema, _APPLICATION_COLUMNS, content) | {"guarantor_count": count}


_SCHEMAS: dict[str, Schema] = {"applications": Application(), "decisions": Decision()}
_PROJECTIONS = {
    "applications": Projection("kompar_applications", "state", partial(_application_row, _SCHEMAS["applications"])),
    "decisions": Projection("kompar_decisions", "state", partial(_row, _SCHEMAS["decisions"], _DECISION_COLUMNS)),
}


class Kompar:
    """Opens and validates Kompar's deliveries."""

    def __init__(self, settings: KomparSettings, fingerprints: Fingerprints) -> None:
        self._keys = settings.keys
        self._fingerprints = fingerprints

    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> Payload:
        """Decrypt the body if it is an envelope, and parse it."""
        content, opened_by = open_body(body, self._keys)
        return Payload(topic, headers, content, opened_by)

    def validate(self, payload: Payload) -> Event:
        """Validate against the topic's schema. The event keeps the content as it was sent, masked."""
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
            projection=_PROJECTIONS[payload.topic],
        )


def read(environment: Environment) -> Kompar:
    """Read KOMPAR_KEYS and FINGERPRINT_KEY."""
    return Kompar(KomparSettings.read(environment), Fingerprints(environment.key("FINGERPRINT_KEY")))
