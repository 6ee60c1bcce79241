"""Fake applicants and their companies; the same seed gives the same people.

Ids have correct check digits, and are from ranges that are reserved for tests or fiction, or never assigned.
"""

import base64
import unicodedata
from collections.abc import Mapping
from random import Random
from uuid import UUID, uuid4

from app.sandbox.hooks import Event

_FIRST = (
    "Adriana", "Alva", "Anders", "Åke", "Åsa", "Björn", "Cecilia", "Elif", "Erik", "Fatima", "Göran", "Håkan", "Ingrid",
    "Jörgen", "Karin", "Lars-Göran", "Linnéa", "Malin", "Märta", "Mohammed", "Nils", "Östen", "Pär", "Sofia", "Zoë",
)  # fmt: skip
_LAST = (
    "Ahmadi", "Andersson", "Berg", "Björk", "Dahlström", "Ek", "Eriksson", "Hägg", "Håkansson", "Johansson",
    "Lindqvist", "Nyström", "Öberg", "Östlund", "Pettersson", "Sjögren", "Söderberg", "Åberg", "Åkesson",
)  # fmt: skip
_TRADES = (
    "Bageri", "Bygg", "El", "Frisör", "Konsult", "Måleri", "Plåt", "Räksmörgås", "Snickeri", "Städ", "Trädgård",
    "Verkstad", "VVS", "Åkeri",
)  # fmt: skip
_PURPOSES = {
    "Anledning till lån": 1, "Anställa personal": 4, "Betala leverantörer": 8, "Betala löner": 6, "Förvärv": 4,
    "Generell likviditet / kassaflöde": 25, "Hemsida / marknadsföring": 5, "Inköp av lager": 12,
    "Inköp av maskiner": 9, "Oväntade utgifter": 6, "Renovering": 5, "Säsongsinvestering": 4,
    "Omfinansiering av lån / samla lån": 8, "Övrigt": 6,
}  # fmt: skip
# Company forms with their shares. EF: a sole trader, whose company number is the owner's personal number.
_FORMS = {"AB": 70, "EF": 18, "HB": 8, "KB": 4}
# (limit, step): below each limit people ask for multiples of the step.
_STEPS = ((100_000, 10_000), (500_000, 25_000), (1_000_000, 50_000), (3_000_000, 250_000), (10_000_000, 500_000))
_LARGEST_FILE_BYTES = 3_000_000


def application(random: Random) -> dict[str, object]:
    """Return a loan application in clear.

    Size, age and amount are correlated and skewed. Sometimes a number is null or a text is absent.
    """
    form = _one_of(random, _FORMS)
    size = random.gauss(0, 1)
    revenue = round(random.lognormvariate(11.8 + 0.9 * size, 0.3), 2)
    amount = _requested_amount(revenue * random.lognormvariate(0.9, 0.6))
    ssn = personal_number(random)
    document: dict[str, object] = {
        "application_id": _opaque_id(random),
        "name": f"{random.choice(_FIRST)} {random.choice(_LAST)}",
        "company_id": ssn if form == "EF" else company_number(random, form),
        "company_name": " ".join(filter(None, (f"{random.choice(_LAST)}s", random.choice(_TRADES), form))),
        "company_type": form,
        "company_revenue": revenue,
        "company_age": round(min(random.lognormvariate(1.6 + 0.35 * size, 0.8), 90), 1),
        "amount": amount,
        "duration": _duration(random, amount),
        "purpose": _one_of(random, _PURPOSES),
        "ssn": ssn,
        "guarantors": [{"ssn": personal_number(random)} for _ in range(random.choice((0, 0, 1, 1, 2)))],
    }
    return _with_gaps(random, document | _extra_fields(random, revenue))


def decision(
    random: Random, application_id: object, applicant: Mapping[str, object] | None = None, with_files: bool = False
) -> dict[str, object]:
    """Return a client's answer to an offer; it may repeat the applicant's identity and bring files."""
    accepted = random.random() < 0.7
    details: dict[str, object] = {
        "phone": f"+467017406{random.randint(5, 99):02}",  # Sweden reserves 070-174 06 05 to 99 for fiction
        "email": "kund@example.com",
        "offer_id": f"of-{random.randint(1, 999)}",
    }
    if applicant is not None:
        details |= {name: applicant[name] for name in ("ssn", "name") if name in applicant}
    if with_files and random.random() < 0.3:
        details["files"] = [_file(random) for _ in range(random.choice((1, 1, 2, 3)))]
    return {"application_id": application_id, "accepted": accepted} | (details if accepted else {})


def application_event(random: Random) -> Event:
    """Return a new application as an event. It has no id on the wire; this one is for the attempt log alone."""
    return _event("applications", application(random))


def decision_event(random: Random, application: Event, with_files: bool = False) -> Event:
    """Return the decision on an application as an event."""
    return _event("decisions", decision(random, application.entity_id, application.document, with_files))


def _event(topic: str, document: Mapping[str, object]) -> Event:
    return Event(str(uuid4()), topic, str(document["application_id"]), document)


def personal_number(random: Random) -> str:
    """Return a personnummer, one in thirty a samordningsnummer; serials from 980 up are reserved for tests."""
    year, month, day = random.randint(1950, 2000), random.randint(1, 12), random.randint(1, 28)
    if random.random() < 1 / 30:
        day += 60
    ten = _with_check_digit(f"{year % 100:02}{month:02}{day:02}{random.randint(980, 999)}")
    return f"{year}{ten[2:6]}-{ten[6:]}"


def company_number(random: Random, form: str) -> str:
    """Return an organisationsnummer: with a hyphen, without, or with the prefix 16.

    Numbers of limited companies (AB) begin at 556, those of partnerships (HB, KB) with 916 or 969. Below and between
    them no number is assigned.
    """
    series = random.randint(552, 554) if form == "AB" else random.randint(962, 966)
    ten = _with_check_digit(f"{series}{random.randint(0, 999_999):06}")
    (number,) = random.choices((f"{ten[:6]}-{ten[6:]}", ten, f"16{ten}"), (8, 3, 1))
    return number


def _with_check_digit(nine: str) -> str:
    """Append the check digit of Swedish ten-digit numbers (Luhn)."""
    total = sum(sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(nine))
    return nine + str(-total % 10)


def _requested_amount(amount: float) -> int:
    """Return the round sum, in kronor, that an applicant who needs this amount asks for."""
    for limit, step in _STEPS:
        if amount < limit:
            return max(round(amount / step) * step, 20_000)
    return _STEPS[-1][0]


def _duration(random: Random, amount: int) -> int:
    """Return months; larger loans run longer."""
    longest = 24 if amount < 200_000 else 48 if amount < 1_000_000 else 84
    return random.choice(
        [months for months in (3, 6, 9, 12, 18, 24, 36, 48, 60, 84) if longest / 8 <= months <= longest]
    )


def _extra_fields(random: Random, revenue: float) -> dict[str, object]:
    """Return additional fields that some lenders agreed on."""
    fields: tuple[tuple[str, object, float], ...] = (
        ("company_last_year_revenue", round(revenue * 12 * random.lognormvariate(-0.05, 0.2), 2), 0.3),
        ("company_description", f"Vi är {random.randint(1, 40)} anställda. {random.choice(_TRADES)} sedan länge.", 0.2),
        ("attachments", [f"https://files.example.com/{random.getrandbits(64):016x}.pdf"], 0.06),
        ("description_of_property", "Fastighet med verkstad, två våningar och gård.", 0.03),
    )
    return {name: value for name, value, share in fields if random.random() < share}


def _with_gaps(random: Random, document: dict[str, object]) -> dict[str, object]:
    for name in ("company_revenue", "company_age", "duration"):
        if random.random() < 0.03:
            document[name] = None
    for name in ("company_name", "company_type", "purpose", "name"):
        if random.random() < 0.02:
            del document[name]
    if "purpose" in document and random.random() < 0.03:  # the same letters in another Unicode form
        document["purpose"] = unicodedata.normalize("NFD", str(document["purpose"]))
    return document


def _file(random: Random) -> dict[str, object]:
    size = min(int(random.lognormvariate(11, 1.5)), _LARGEST_FILE_BYTES)
    kind = random.choice(("Prel. RR & BR", "Kontohistorik"))
    data = base64.b64encode(b"%PDF-1.7\n" + random.randbytes(size)).decode()
    return {"type": kind, "filename": f"{kind.split()[0].strip('.').lower()}.pdf", "data": data, "file_ext": "pdf"}


def _opaque_id(random: Random) -> str:
    if random.random() < 0.2:
        return str(UUID(int=random.getrandbits(128)))
    return f"{random.randint(10**12, 10**13 - 1)}x{random.randint(10**17, 10**18 - 1)}"


def _one_of(random: Random, shares: Mapping[str, int]) -> str:
    (choice,) = random.choices(list(shares), list(shares.values()))
    return choice
