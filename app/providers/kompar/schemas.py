"""What Kompar's applications and decisions look like.

Unknown keys are kept, null and absence are taken everywhere but in `application_id`, and a doubtful
value is flagged, never refused: Kompar's own sandbox sends numbers that fail their checks.
"""

import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from marshmallow import fields

from app.domain.event import Checks
from app.providers.schema import LenientSchema

PURPOSES = frozenset({
    "Anledning till lån", "Anställa personal", "Betala leverantörer", "Betala löner", "Förvärv",
    "Generell likviditet / kassaflöde", "Hemsida / marknadsföring", "Inköp av lager", "Inköp av maskiner",
    "Oväntade utgifter", "Renovering", "Säsongsinvestering", "Omfinansiering av lån / samla lån", "Övrigt",
})  # fmt: skip

# What a doubled digit adds to Luhn's sum: 7 makes 14, and 1 + 4 is 5.
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


class Guarantor(LenientSchema):
    """Who vouches for an applicant."""

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
    """A client's answer to an offer. What comes beside `accepted` is agreed per lender."""

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
    return all(map(_guarantor_passes, guarantors))


def _guarantor_passes(guarantor: Mapping[str, Any]) -> bool:
    return guarantor.get("ssn") is None or _is_person(guarantor["ssn"])


def _is_company(number: Any) -> bool:
    """Tell whether it is an organisationsnummer (16 may stand before it) or a sole trader's personnummer."""
    digits = _digits(number)
    if len(digits) == 12 and digits.startswith("16"):
        digits = digits[2:]
    is_organisation = len(digits) == 10 and digits[2] >= "2" and _passes_luhn(digits)
    return is_organisation or _is_person(digits)


def _is_person(number: str) -> bool:
    """Tell whether it is a personnummer or a samordningsnummer, whose day of birth is raised by 60.

    Ten digits name no century: a date that exists in either of the last two will do.
    """
    digits = _digits(number)
    if len(digits) not in {10, 12} or not _passes_luhn(digits[-10:]):
        return False
    centuries = [digits[:2]] if len(digits) == 12 else ["19", "20"]
    year, month, day = digits[-10:-8], int(digits[-8:-6]), int(digits[-6:-4])
    return any(_is_date(int(century + year), month, day - 60 if day > 60 else day) for century in centuries)


def _passes_luhn(digits: str) -> bool:
    """Tell whether the last of ten digits is the check digit of the others."""
    codes = digits.encode("ascii")
    # Of a digit that counts once its code will do: five codes of "0", 48 each, leave the last digit of the sum alone.
    return (sum(codes[::2].translate(_DOUBLED)) + sum(codes[1::2])) % 10 == 0


def _digits(number: Any) -> str:
    """Return the digits of a number written with at most one separator before its last four; none if it is no text."""
    bare = number.strip() if isinstance(number, str) else ""
    bare = bare[:-5] + bare[-4:] if len(bare) > 5 and bare[-5] in "-+" else bare
    return bare if bare.isascii() and bare.isdigit() else ""


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        return bool(date(year, month, day))
    except ValueError:
        return False


# Checked wherever they stand: a decision's schema does not know the first two, so that they may be anything.
CHECKS: Checks = {
    "company_id": [("company-id-checksum", _is_company)],
    "purpose": [("unknown-purpose", _is_purpose)],
    "ssn": [("ssn-checksum", _is_person)],
    "guarantors": [("ssn-checksum", _guarantors_pass)],
}
