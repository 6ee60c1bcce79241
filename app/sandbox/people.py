"""Made-up applicants and companies, seeded: the same seed gives the same people."""

from random import Random

_FIRST = (
    "Adriana",
    "Åsa",
    "Björn",
    "Cecilia",
    "Erik",
    "Fatima",
    "Göran",
    "Ingrid",
    "Jörgen",
    "Linnéa",
    "Märta",
    "Östen",
)
_LAST = ("Andersson", "Berg", "Ek", "Hägg", "Lindqvist", "Nyström", "Öberg", "Söderberg", "Åkesson")
_TRADES = ("Bygg", "Räksmörgås", "Måleri", "Åkeri", "Konsult", "Trädgård", "Snickeri", "Bageri")
_FORMS = ("AB", "HB", "KB")
_PURPOSES = (
    "Anledning till lån", "Anställa personal", "Betala leverantörer", "Betala löner", "Förvärv",
    "Generell likviditet / kassaflöde", "Hemsida / marknadsföring", "Inköp av lager", "Inköp av maskiner",
    "Oväntade utgifter", "Renovering", "Säsongsinvestering", "Omfinansiering av lån / samla lån", "Övrigt",
)  # fmt: skip


def _with_check_digit(nine: str) -> str:
    """Append the check digit of Swedish ten-digit numbers (Luhn)."""
    total = sum(sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(nine))
    return nine + str(-total % 10)


def personal_number(random: Random) -> str:
    """Return a personnummer with a right check digit; serials from 980 up are kept for tests."""
    year, month, day = random.randint(1950, 2000), random.randint(1, 12), random.randint(1, 28)
    ten = _with_check_digit(f"{year % 100:02}{month:02}{day:02}{random.randint(980, 999)}")
    return f"{year}{ten[2:6]}-{ten[6:]}"


def company_number(random: Random) -> str:
    """Return an organisationsnummer with a right check digit."""
    ten = _with_check_digit(f"55{random.randint(20, 99)}{random.randint(0, 99999):05}")
    return f"{ten[:6]}-{ten[6:]}"


def application(random: Random) -> dict[str, object]:
    """Return a loan application as Kompar would state it in clear."""
    trade = random.choice(_TRADES)
    form = random.choice(_FORMS)
    return {
        "application_id": f"{random.randint(10**12, 10**13 - 1)}x{random.randint(10**17, 10**18 - 1)}",
        "name": f"{random.choice(_FIRST)} {random.choice(_LAST)}",
        "company_id": company_number(random),
        "company_name": f"{random.choice(_LAST)}s {trade} {form}",
        "company_type": form,
        "company_revenue": round(random.lognormvariate(11.5, 0.8), 2),
        "company_age": round(random.uniform(0.5, 30), 1),
        "amount": round(random.lognormvariate(12.5, 0.7), -4) or 10_000,
        "duration": random.choice((6, 12, 18, 24, 36, 48, 60)),
        "purpose": random.choice(_PURPOSES),
        "ssn": personal_number(random),
        "guarantors": [{"ssn": personal_number(random)} for _ in range(random.choice((0, 0, 1, 2)))],
    }


def decision(random: Random, application_id: object) -> dict[str, object]:
    """Return a client's answer to an offer."""
    accepted = random.random() < 0.7
    details = {
        "phone": f"+4670{random.randint(0, 9_999_999):07}",
        "email": "kund@example.com",
        "offer_id": f"of-{random.randint(1, 999)}",
    }
    return {"application_id": application_id, "accepted": accepted} | (details if accepted else {})
