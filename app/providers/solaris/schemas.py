"""The schemas of Solaris' events.

Only the keys that Solaris' page calls required are required. Unknown statuses, decisions and currencies are flagged.
"""

from collections.abc import Callable
from datetime import UTC
from typing import Any

from marshmallow import fields
from stdnum import iban

from app.domain.event import Checks
from app.domain.schema_drift import Values
from app.providers.schema import LenientSchema, Number, Text, Whole

# From the page on webhooks; two of them occur only in answers of the API.
STATUSES = frozenset({
    "credit_record_pending", "initial_scoring_pending", "account_snapshot_pending",
    "account_snapshot_verification_pending", "offered", "identification_creation_pending", "identification_pending",
    "identification_completed", "rejected", "expired", "credit_line_creation_pending", "credit_line_created",
})  # fmt: skip
DECISIONS = frozenset({"OFFERED", "PENDING", "REJECTED"})


class Money(LenientSchema):
    """An amount: `value` counts `unit`, which is cents as far as is known."""

    value = Whole(required=True)
    unit = Text(required=True)
    currency = Text(required=True)


class CreditLine(LenientSchema):
    """A freelancer's application for a credit line changed; `id` is that of the application."""

    id = Text(allow_none=True)
    credit_line_id = Text(allow_none=True)
    decision = Text(allow_none=True)
    identification_id = Text(allow_none=True)
    mandate_reference_number = Text(allow_none=True)
    net_disposable_income = fields.Nested(Money, allow_none=True)
    offered_interest_rate = Number(allow_none=True)
    offered_limit = fields.Nested(Money, allow_none=True)
    person_id = Text(allow_none=True)
    reason = Text(allow_none=True)
    recipient_iban = Text(allow_none=True)
    status = Text(allow_none=True)
    status_description = Text(allow_none=True)


class OverdraftRate(LenientSchema):
    """The daily rate of an overdraft changes; `id` is that of the overdraft, the same for every change."""

    id = Text(required=True)
    interest_accrual_rate = Number(required=True)
    effective_from = fields.AwareDateTime(required=True, format="iso", default_timezone=UTC)


class RejectedTransaction(LenientSchema):
    """An incoming transaction was rejected: the published shape, for decoupled and credit cards."""

    status = Text(allow_none=True)
    status_reason = Text(allow_none=True)
    sender_name = Text(allow_none=True)
    sender_iban = Text(allow_none=True)
    person_id = Text(allow_none=True)
    business_id = Text(allow_none=True)
    account_id = Text(allow_none=True)


def in_cents(money: Any) -> bool:
    """Return whether the unit of an amount is cents."""
    return bool(money["unit"] == "cents")


def _is_iban(value: Any) -> bool:
    return bool(iban.is_valid(str(value)))


_MONEY: list[tuple[str, Callable[[Any], bool]]] = [
    ("unknown-unit", in_cents), ("unknown-currency", lambda money: bool(money["currency"] == "EUR")),
]  # fmt: skip
CREDIT_LINE_CHECKS: Checks = {
    "status": [("unknown-status", STATUSES.__contains__)],
    "decision": [("unknown-decision", DECISIONS.__contains__)],
    "recipient_iban": [("iban-checksum", _is_iban)],
    "net_disposable_income": _MONEY,
    "offered_limit": _MONEY,
}
# Which values the list of a field has.
CREDIT_LINE_LISTS: Values = {
    "status": STATUSES.__contains__,
    "decision": DECISIONS.__contains__,
    **{f"{money}.unit": "cents".__eq__ for money in ("offered_limit", "net_disposable_income")},
    **{f"{money}.currency": "EUR".__eq__ for money in ("offered_limit", "net_disposable_income")},
}
REJECTED_TRANSACTION_CHECKS: Checks = {"sender_iban": [("iban-checksum", _is_iban)]}
