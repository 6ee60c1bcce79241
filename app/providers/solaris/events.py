"""Turns Solaris' notifications into events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.crypto.digests import Fingerprints
from app.domain.delivery import Payload
from app.domain.event import Checks, Content, Entity, Event, FieldFlags, Projection, field_flags
from app.domain.json_content import parse_object
from app.domain.retries import RetrySchedule
from app.domain.schema_drift import DeclaredShape
from app.errors import MISSING_ID, InvalidDeliveryError
from app.providers.schema import LenientSchema, declared_shape, entity_id, table_row
from app.providers.solaris import schemas
from app.providers.solaris.authentication import ENTITY_ID, WEBHOOK_ID
from config.environment import Environment

# Solaris' pages differ: 25 tries in about five days, or 20 in seven. It counts only where the webhook id is missing.
_SCHEDULE = RetrySchedule.within(timedelta(days=7))
# The flags of content without a schema, under a key for the content as a whole.
_NO_SCHEMA = {"(content)": ["no-schema"]}

_CREDIT_LINE_COLUMNS = (
    "credit_line_id", "decision", "status", "status_description", "reason", "person_id", "identification_id",
    "mandate_reference_number", "recipient_iban", "offered_interest_rate",
)  # fmt: skip
_MONEY_COLUMNS = ("offered_limit", "net_disposable_income")
_REJECTION_COLUMNS = tuple(schemas.RejectedTransaction().fields)


def _credit_line_row(content: Content) -> dict[str, Any]:
    row = table_row(content, _CREDIT_LINE, _CREDIT_LINE_COLUMNS, elsewhere=("id", *_MONEY_COLUMNS))
    converted, _ = _CREDIT_LINE.convert(content)
    for column in _MONEY_COLUMNS:
        money = converted.get(column) or {}
        # A column of cents holds no other unit. The event keeps such an amount, flagged.
        row[f"{column}_cents"] = money["value"] if money and schemas.in_cents(money) else None
        row[f"{column}_currency"] = money.get("currency")
    return row


def _overdraft_rate_row(content: Content) -> dict[str, Any]:
    converted, _ = _OVERDRAFT_RATE.convert(content)
    effective_from = converted["effective_from"]
    return {
        "interest_accrual_rate": converted["interest_accrual_rate"],
        "effective_from": effective_from and effective_from.isoformat(),
    }


def _rejected_transaction_row(content: Content) -> dict[str, Any]:
    return table_row(content, _REJECTED_TRANSACTION, _REJECTION_COLUMNS)


@dataclass(frozen=True, slots=True)
class _EventType:
    """Schema, projection and checks of an event type.

    declared: what the schema declares. shapes: whether it has shapes that Solaris did not publish.
    """

    schema: LenientSchema
    projection: Projection
    checks: Checks
    declared: DeclaredShape
    shapes: bool = False


_CREDIT_LINE, _OVERDRAFT_RATE = schemas.CreditLine(), schemas.OverdraftRate()
_REJECTED_TRANSACTION = schemas.RejectedTransaction()
EVENT_TYPES = {
    "FREELANCER_CREDIT_LINE_APPLICATION": _EventType(
        _CREDIT_LINE,
        Projection("solaris_credit_lines", "state", _credit_line_row, decisive="decision"),
        schemas.CREDIT_LINE_CHECKS,
        declared_shape(_CREDIT_LINE, schemas.CREDIT_LINE_LISTS),
    ),
    "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE": _EventType(
        _OVERDRAFT_RATE,
        Projection("solaris_overdraft_rates", "history", _overdraft_rate_row),
        {},
        declared_shape(_OVERDRAFT_RATE),
    ),
    "INCOMING_REJECTED_TRANSACTION": _EventType(
        _REJECTED_TRANSACTION,
        Projection("solaris_rejected_transactions", "history", _rejected_transaction_row),
        schemas.REJECTED_TRANSACTION_CHECKS,
        declared_shape(_REJECTED_TRANSACTION),
        shapes=True,
    ),
}
_NOT_DECLARED = DeclaredShape({})


class Solaris:
    """Opens and validates Solaris' deliveries."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._fingerprints = fingerprints

    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> Payload:
        """Parse the body; it is not encrypted."""
        content, duplicates = parse_object(body)
        return Payload(topic, headers, content, duplicates=duplicates)

    def plaintexts(self, body: bytes) -> Iterator[bytes]:
        """Yield the body; it is not encrypted."""
        yield body

    def projection(self, event_type: str) -> Projection | None:
        """Return the table of an event type, None for one without a schema."""
        return EVENT_TYPES[event_type].projection if event_type in EVENT_TYPES else None

    def validate(self, payload: Payload) -> Event:
        """Validate against the event type's schema. Content without a schema is kept whole, flagged."""
        event_type = EVENT_TYPES.get(payload.topic)
        content, persons = self._fingerprints.mask(payload.content)
        webhook_id = payload.headers.get(WEBHOOK_ID)
        return Event(
            entity=Entity("solaris", payload.topic, self._fingerprints.identity(_entity_id(payload))),
            content=content,
            digests=self._fingerprints.digests(payload.content),
            field_flags=_validated_flags(event_type, payload.content, content),
            provider_event_id=webhook_id and self._fingerprints.identity(webhook_id),
            schedule=_SCHEDULE,
            projection=event_type.projection if event_type else None,
            persons=persons,
            undeclared=(event_type.declared if event_type else _NOT_DECLARED).undeclared(payload.content),
        )


def _validated_flags(event_type: _EventType | None, content: Content, masked: Content) -> FieldFlags:
    """Return the flags of content; raise InvalidDeliveryError if it lacks what Solaris calls required."""
    if event_type is None or (event_type.shapes and not content.keys() & event_type.schema.fields.keys()):
        return _NO_SCHEMA
    _, misfits = event_type.schema.convert(masked)
    if misfits and event_type.shapes:
        return _NO_SCHEMA
    return field_flags(content, event_type.checks, misfits)


def _entity_id(payload: Payload) -> str:
    """Return the id in the body, else the one in the header, else the id of the notification itself."""
    candidates = (payload.content.get("id"), payload.headers.get(ENTITY_ID), payload.headers.get(WEBHOOK_ID))
    for candidate in map(entity_id, candidates):
        if candidate is not None:
            return candidate
    raise InvalidDeliveryError(MISSING_ID, "neither the body nor a header names what it is about")


def read(environment: Environment) -> Solaris:
    """Read FINGERPRINT_KEY."""
    return Solaris(Fingerprints(environment.key("FINGERPRINT_KEY")))
