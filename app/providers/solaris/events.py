"""Makes events of Solaris' notifications."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from marshmallow import Schema, ValidationError

from app.crypto.digests import Fingerprints
from app.domain.delivery import Payload
from app.domain.event import Checks, Content, Entity, Event, FieldFlags, Projection, field_flags
from app.domain.json_content import flatten, parse_object
from app.domain.masking import mask
from app.errors import INVALID, MISSING_ID, InvalidDeliveryError
from app.providers.solaris import schemas
from app.providers.solaris.authentication import ENTITY_ID, WEBHOOK_ID
from config.environment import Environment

# Solaris tries again for up to five days.
_HORIZON = timedelta(days=5)
# The flag for content that no schema describes stands for the whole of it.
_NO_SCHEMA = {"(content)": ["no-schema"]}

_CREDIT_LINE_COLUMNS = (
    "credit_line_id", "decision", "status", "status_description", "reason", "person_id", "identification_id",
    "mandate_reference_number", "recipient_iban", "offered_interest_rate",
)  # fmt: skip
_MONEY_COLUMNS = ("offered_limit", "net_disposable_income")
_REJECTION_COLUMNS = tuple(schemas.RejectedTransaction().fields)


def _extra(content: Content, columns: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in columns}


def _credit_line_row(content: Content) -> dict[str, Any]:
    loaded = _CREDIT_LINE.load(content)
    row = {column: loaded.get(column) for column in _CREDIT_LINE_COLUMNS}
    for column in _MONEY_COLUMNS:
        money = loaded.get(column) or {}
        # A value in another unit has no place in a column of cents; the event keeps it, flagged.
        row[f"{column}_cents"] = money["value"] if money and schemas.in_cents(money) else None
        row[f"{column}_currency"] = money.get("currency")
    return row | {"extra": _extra(content, ("id", *_CREDIT_LINE_COLUMNS, *_MONEY_COLUMNS))}


def _overdraft_rate_row(content: Content) -> dict[str, Any]:
    loaded = _OVERDRAFT_RATE.load(content)
    return {
        "interest_accrual_rate": loaded["interest_accrual_rate"],
        "effective_from": loaded["effective_from"].isoformat(),
    }


def _rejected_transaction_row(content: Content) -> dict[str, Any]:
    try:
        loaded = _REJECTED_TRANSACTION.load(content)
    except ValidationError:  # the shape that is not published: whole, in `extra`
        return {"extra": dict(content)}
    return {column: loaded.get(column) for column in _REJECTION_COLUMNS} | {
        "extra": _extra(content, _REJECTION_COLUMNS)
    }


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is known of an event type; `strict`: content outside its schema is invalid, not merely undescribed."""

    schema: Schema
    table: Projection
    checks: Checks
    strict: bool = True


_CREDIT_LINE, _OVERDRAFT_RATE = schemas.CreditLine(), schemas.OverdraftRate()
_REJECTED_TRANSACTION = schemas.RejectedTransaction()
# By event type.
KINDS = {
    "FREELANCER_CREDIT_LINE_APPLICATION": _Kind(
        _CREDIT_LINE, Projection("solaris_credit_lines", "state", _credit_line_row), schemas.CREDIT_LINE_CHECKS
    ),
    "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE": _Kind(
        _OVERDRAFT_RATE, Projection("solaris_overdraft_rates", "history", _overdraft_rate_row), {}
    ),
    "INCOMING_REJECTED_TRANSACTION": _Kind(
        _REJECTED_TRANSACTION,
        Projection("solaris_rejected_transactions", "history", _rejected_transaction_row),
        schemas.REJECTED_TRANSACTION_CHECKS,
        strict=False,
    ),
}


class Solaris:
    """Opens and validates what Solaris sends."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._fingerprints = fingerprints

    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> Payload:
        """Parse; nothing is encrypted."""
        return Payload(topic, headers, parse_object(body))

    def validate(self, payload: Payload) -> Event:
        """Check against the event type's schema; what no schema describes is kept whole, flagged."""
        kind = KINDS.get(payload.topic)
        return Event(
            entity=Entity("solaris", payload.topic, _entity_id(payload)),
            content=mask(payload.content),
            digests=self._fingerprints.digests(payload.content),
            field_flags=_doubts(kind, payload.content),
            provider_event_id=payload.headers.get(WEBHOOK_ID),
            horizon=_HORIZON,
            projection=kind.table if kind else None,
        )


def _doubts(kind: _Kind | None, content: Content) -> FieldFlags:
    if kind is None or not (kind.strict or content.keys() & kind.schema.fields.keys()):
        return _NO_SCHEMA
    try:
        kind.schema.load(content)
    except ValidationError as error:
        if kind.strict:
            raise InvalidDeliveryError(INVALID, flatten(error.messages_dict)) from error
        return _NO_SCHEMA
    return field_flags(content, kind.checks)


def _entity_id(payload: Payload) -> str:
    """Return what the event is about: the body's id, else the header's, else the notification itself."""
    for candidate in (payload.content.get("id"), payload.headers.get(ENTITY_ID), payload.headers.get(WEBHOOK_ID)):
        if isinstance(candidate, str) and candidate.strip():
            return candidate
    raise InvalidDeliveryError(MISSING_ID, "neither the body nor a header names what it is about")


def read(environment: Environment) -> Solaris:
    """Read FINGERPRINT_KEY."""
    return Solaris(Fingerprints(environment.key("FINGERPRINT_KEY")))
