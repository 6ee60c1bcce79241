"""The schemas of Kompar's applications and decisions.

Unknown keys are kept. Every key but `application_id` may be null or missing. A doubtful value is flagged, never
rejected: Kompar's own sandbox sends numbers that fail these checks.
"""

import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from marshmallow import fields
from stdnum import luhn

from app.domain.event import Checks
from app.providers.schema import LenientSchema

PURPOSES = frozenset({
    "Anledning till lån", "Anställa personal", "Betala leverantörer", "Betala löner", "Förvärv",
    "Generell likviditet / kassaflöde", "Hemsida / marknadsföring", "Inköp av lager", "Inköp av maskiner",
    "Oväntade utgifter", "Renovering", "Säsongsinvestering", "Omfinansiering av lån / samla lån", "Övrigt",
})  # fmt: skip


class Guarantor(LenientSchema):
    """A person who guarantees the loan."""

    ssn = fields.String(allow_none=True)


class Application(LenientSchema):
    """A loan application. Revenue is monthly, in kronor; age in years; duration in months."""

    application_id = fields.String(required=True)
    name = fields.String(allow_none=True)
    company_id = fields.String(allow_none=True)
    company_name = fields.String(allow_none=True)
    company_type = fields.String(allow_none=True)
    company_revenue = fields.Float(allow_none=True)
    company_age = fields.Float(allow_none=True)
    amount = fields.Integer(strict=True, allow_none=True)
    duration = fields.Integer(strict=True, allow_none=True)
    purpose = fields.String(allow_none=True)
    ssn = fields.String(allow_none=True)
    guarantors = fields.List(fields.Nested(Guarantor), allow_none=True)


class Decision(LenientSchema):
    """A client's answer to an offer. Each lender agrees with Kompar on the keys other than `accepted`."""

    application_id = fields.String(required=True)
    accepted = fields.Boolean(allow_none=True)
    phone = fields.String(allow_none=True)
    email = fields.String(allow_none=True)
    offer_id = fields.String(allow_none=True)
    ssn = fields.String(allow_none=True)
    guarantors = fields.List(fields.Nested(Guarantor), allow_none=True)


def _is_purpose(purpose: Any) -> bool:
    return isinstance(purpose, str) and unicodedata.normalize("NFC", purpose) in PURPOSES


def _guarantors_pass(guarantors: list[Mapping[str, Any]]) -> bool:
    return all(guarantor.get("ssn") is None or _is_person(guarantor["ssn"]) for guarantor in guarantors)


def _is_company(number: Any) -> bool:
    """Return whether a value is an organisationsnummer, perhaps prefixed with 16, or a sole trader's personnummer."""
    digits = _digits(number)
    if len(digits) == 12 and digits.startswith("16"):
        digits = digits[2:]
    is_organisation = len(digits) == 10 and digits[2] >= "2" and luhn.is_valid(digits)
    return is_organisation or _is_person(digits)


def _is_person(number: Any) -> bool:
    """Return whether a value is a personnummer or a samordningsnummer, which adds 60 to the day of birth.

    Ten digits name no century, so the date may exist in the 20th or in the 21st. The library's own check of a
    personnummer picks one century by today's date, and knows no samordningsnummer.
    """
    digits = _digits(number)
    if len(digits) not in {10, 12} or not luhn.is_valid(digits[-10:]):
        return False
    centuries = [digits[:2]] if len(digits) == 12 else ["19", "20"]
    year, month, day = digits[-10:-8], int(digits[-8:-6]), int(digits[-6:-4])
    return any(_is_date(int(century + year), month, day - 60 if day > 60 else day) for century in centuries)


def _digits(number: Any) -> str:
    """Return a number without the separator before its last four digits; empty for anything but a text of digits."""
    text = number.strip() if isinstance(number, str) else ""
    text = text[:-5] + text[-4:] if len(text) > 5 and text[-5] in "-+" else text
    return text if text.isascii() and text.isdigit() else ""


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        return bool(date(year, month, day))
    except ValueError:
        return False


# They apply to both topics. A decision's schema lacks the first two, so their values may have any type there.
CHECKS: Checks = {
    "company_id": [("company-id-checksum", _is_company)],
    "purpose": [("unknown-purpose", _is_purpose)],
    "ssn": [("ssn-checksum", _is_person)],
    "guarantors": [("ssn-checksum", _guarantors_pass)],
}
