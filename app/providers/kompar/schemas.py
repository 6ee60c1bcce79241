"""The schemas of Kompar's applications and decisions.

Unknown keys are kept. Every key but `application_id` may be null or missing. A doubtful value is flagged, never
rejected: Kompar's own sandbox sends numbers that fail these checks. Tables have some values in one normal form;
events keep what was sent.
"""

import re
import unicodedata
from typing import Any

from marshmallow import fields

from app.domain.event import Checks
from app.domain.national_ids import is_company_number, is_national_id, organisation_number
from app.providers.schema import LenientSchema, Number, Text, Whole

PURPOSES = frozenset({
    "Anledning till lån", "Anställa personal", "Betala leverantörer", "Betala löner", "Förvärv",
    "Generell likviditet / kassaflöde", "Hemsida / marknadsföring", "Inköp av lager", "Inköp av maskiner",
    "Oväntade utgifter", "Renovering", "Säsongsinvestering", "Omfinansiering av lån / samla lån", "Övrigt",
})  # fmt: skip
_PURPOSES_BY_FOLDED_NAME = {purpose.casefold(): purpose for purpose in PURPOSES}
# Kompar publishes no list of company types; AB, KB and HB occur.
_COMPANY_TYPES = {
    "aktiebolag": "AB", "handelsbolag": "HB", "kommanditbolag": "KB", "enskild firma": "EF",
    "enskild näringsverksamhet": "EF", "enskild näringsidkare": "EF", "ekonomisk förening": "EK",
}  # fmt: skip
_LEGAL_FORMS = frozenset(_COMPANY_TYPES.values())
_MASKED = re.compile(r"[0-9]{6}-\*{4}")


class Guarantor(LenientSchema):
    """A person who guarantees the loan."""

    ssn = Text(allow_none=True)


class Application(LenientSchema):
    """A loan application. Revenue is monthly, in kronor; age in years; duration in months."""

    application_id = Text(required=True)
    name = Text(allow_none=True)
    company_id = Text(allow_none=True)
    company_name = Text(allow_none=True)
    company_type = Text(allow_none=True)
    company_revenue = Number(allow_none=True)
    company_age = Number(allow_none=True)
    amount = Whole(allow_none=True)
    duration = Whole(allow_none=True)
    purpose = Text(allow_none=True)
    ssn = Text(allow_none=True)
    guarantors = fields.List(fields.Nested(Guarantor, allow_none=True), allow_none=True)
    company_last_year_revenue = Number(allow_none=True)
    company_description = Text(allow_none=True)
    attachments = fields.List(Text(), allow_none=True)
    description_of_property = Text(allow_none=True)


class Decision(LenientSchema):
    """A client's answer to an offer. Each lender agrees with Kompar on the keys other than `accepted`."""

    application_id = Text(required=True)
    accepted = fields.Boolean(allow_none=True)
    phone = Text(allow_none=True)
    email = Text(allow_none=True)
    offer_id = Text(allow_none=True)
    ssn = Text(allow_none=True)
    guarantors = fields.List(fields.Nested(Guarantor, allow_none=True), allow_none=True)


def normal_purpose(purpose: Any) -> Any:
    """Return a purpose as Kompar's list has it; another one in NFC, without surplus spaces."""
    if not isinstance(purpose, str):
        return purpose
    plain = " ".join(unicodedata.normalize("NFC", purpose).split())
    return _PURPOSES_BY_FOLDED_NAME.get(plain.casefold(), plain)


def normal_company_id(company_id: Any) -> Any:
    """Return an organisation number as NNNNNN-NNNN, a masked national id as NNNNNN-****, and any other as it is."""
    if not isinstance(company_id, str):
        return company_id
    ten = organisation_number(company_id)
    masked = _MASKED.search(company_id)
    return f"{ten[:6]}-{ten[6:]}" if ten else masked[0] if masked else company_id


def normal_company_type(company_type: Any) -> Any:
    """Return the abbreviation of a Swedish legal form; any other as it is."""
    if not isinstance(company_type, str):
        return company_type
    plain = " ".join(unicodedata.normalize("NFC", company_type).split())
    folded = plain.casefold().replace(".", "")
    return _COMPANY_TYPES.get(folded, folded.upper() if folded.upper() in _LEGAL_FORMS else plain)


def is_purpose(purpose: Any) -> bool:
    """Return whether a purpose is in Kompar's list, however it is spelled."""
    return isinstance(purpose, str) and (purpose in PURPOSES or normal_purpose(purpose) in PURPOSES)


def is_company_type(company_type: str) -> bool:
    """Return whether a company type is a Swedish legal form that is known."""
    return company_type in _LEGAL_FORMS or normal_company_type(company_type) in _LEGAL_FORMS


def _is_company(number: Any) -> bool:
    return _is_number(number) and is_company_number(str(number))


def _is_person(number: Any) -> bool:
    return _is_number(number) and is_national_id(str(number))


def _is_number(value: Any) -> bool:
    """Return whether a value is a text or a whole number: some senders drop the quotes of ids."""
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _guarantors_pass(guarantors: Any) -> bool:
    numbers = [guarantor.get("ssn") for guarantor in guarantors if guarantor]
    return all(number is None or _is_person(number) for number in numbers)


# They apply to both topics. A decision's schema lacks the first two, so their values may have any type there.
CHECKS: Checks = {
    "company_id": [("company-id-checksum", _is_company)],
    "purpose": [("unknown-purpose", is_purpose)],
    "ssn": [("ssn-checksum", _is_person)],
    "guarantors": [("ssn-checksum", _guarantors_pass)],
}
