"""Turns Solaris' notifications into events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from marshmallow import ValidationError

from app.crypto.digests import Fingerprints
from app.domain.delivery import Payload
from app.domain.event import Checks, Content, Entity, Event, FieldFlags, Projection, field_flags
from app.domain.json_content import parse_object
from app.domain.masking import mask
from app.errors import MISSING_ID, InvalidDeliveryError
from app.providers.schema import LenientSchema, table_row
from app.providers.solaris import schemas
from app.providers.solaris.authentication import ENTITY_ID, WEBHOOK_ID
from config.environment import Environment

# Solaris retries for up to five days.
_HORIZON = timedelta(days=5)
# The flags of content without a schema, under a key for the content as a whole.
_NO_SCHEMA = {"(content)": ["no-schema"]}

_CREDIT_LINE_COLUMNS = (
    "credit_line_id", "decision", "status", "status_description", "reason", "person_id", "identification_id",
    "mandate_reference_number", "recipient_iban", "offered_interest_rate",
)  # fmt: skip
_MONEY_COLUMNS = ("offered_limit", "net_disposable_income")
_REJECTION_COLUMNS = tuple(schemas.RejectedTransaction().fields)


def _credit_line_row(content: Content) -> dict[str, Any]:
    loaded = _CREDIT_LINE.load(content)
    row = table_row(content, loaded, _CREDIT_LINE_COLUMNS, elsewhere=("id", *_MONEY_COLUMNS))
    for column in _MONEY_COLUMNS:
        money = loaded.get(column) or {}
        # A column of cents holds no other unit. The event keeps such an amount, flagged.
        row[f"{column}_cents"] = money["value"] if money and schemas.in_cents(money) else None
        row[f"{column}_currency"] = money.get("currency")
    return row


def _overdraft_rate_row(content: Content) -> dict[str, Any]:
    loaded = _OVERDRAFT_RATE.load(content)
    return {
        "interest_accrual_rate": loaded["interest_accrual_rate"],
        "effective_from": loaded["effective_from"].isoformat(),
    }


def _rejected_transaction_row(content: Content) -> dict[str, Any]:
    try:
        return table_row(content, _REJECTED_TRANSACTION.load(content), _REJECTION_COLUMNS)
    except ValidationError:  # the unpublished shape: all of it goes to `extra`
        return {"extra": dict(content)}


@dataclass(frozen=True, slots=True)
class _EventType:
    """Schema, projection and checks of an event type. If `strict`, content that does not fit the schema is invalid."""

    schema: LenientSchema
    projection: Projection
    checks: Checks
    strict: bool = True


_CREDIT_LINE, _OVERDRAFT_RATE = schemas.CreditLine(), schemas.OverdraftRate()
_REJECTED_TRANSACTION = schemas.RejectedTransaction()
EVENT_TYPES = {
    "FREELANCER_CREDIT_LINE_APPLICATION": _EventType(
        _CREDIT_LINE, Projection("solaris_credit_lines", "state", _credit_line_row), schemas.CREDIT_LINE_CHECKS
    ),
    "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE": _EventType(
        _OVERDRAFT_RATE, Projection("solaris_overdraft_rates", "history", _overdraft_rate_row), {}
    ),
    "INCOMING_REJECTED_TRANSACTION": _EventType(
        _REJECTED_TRANSACTION,
        Projection("solaris_rejected_transactions", "history", _rejected_transaction_row),
        schemas.REJECTED_TRANSACTION_CHECKS,
        strict=False,
    ),
}


class Solaris:
    """Opens and validates Solaris' deliveries."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._fingerprints = fingerprints

    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> Payload:
        """Parse the body; it is not encrypted."""
        return Payload(topic, headers, parse_object(body))

    def validate(self, payload: Payload) -> Event:
        """Validate against the event type's schema. Content without a schema is kept whole, flagged."""
        event_type = EVENT_TYPES.get(payload.topic)
        return Event(
            entity=Entity("solaris", payload.topic, _entity_id(payload)),
            content=mask(payload.content),
            digests=self._fingerprints.digests(payload.content),
            field_flags=_validated_flags(event_type, payload.content),
            provider_event_id=payload.headers.get(WEBHOOK_ID),
            horizon=_HORIZON,
            projection=event_type.projection if event_type else None,
        )


def _validated_flags(event_type: _EventType | None, content: Content) -> FieldFlags:
    """Return the flags of content; raise InvalidDeliveryError if it does not fit a strict schema."""
    if event_type is None or not (event_type.strict or content.keys() & event_type.schema.fields.keys()):
        return _NO_SCHEMA
    try:
        event_type.schema.check(content)
    except InvalidDeliveryError:
        if event_type.strict:
            raise
        return _NO_SCHEMA
    return field_flags(content, event_type.checks)


def _entity_id(payload: Payload) -> str:
    """Return the id in the body, else the one in the header, else the id of the notification itself."""
    for candidate in (payload.content.get("id"), payload.headers.get(ENTITY_ID), payload.headers.get(WEBHOOK_ID)):
        if isinstance(candidate, str) and candidate.strip():
            return candidate
    raise InvalidDeliveryError(MISSING_ID, "neither the body nor a header names what it is about")


def read(environment: Environment) -> Solaris:
    """Read FINGERPRINT_KEY."""
    return Solaris(Fingerprints(environment.key("FINGERPRINT_KEY")))
