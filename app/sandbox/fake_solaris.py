"""Fake facts of a bank, seeded: credit line applications, overdraft rates, rejected transactions."""

from collections.abc import Mapping
from random import Random

from app.sandbox.hooks import Event

CREDIT_LINE = "FREELANCER_CREDIT_LINE_APPLICATION"
OVERDRAFT_RATE = "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE"
REJECTED_TRANSACTION = "INCOMING_REJECTED_TRANSACTION"
EVENT_TYPES = (CREDIT_LINE, OVERDRAFT_RATE, REJECTED_TRANSACTION)

# Statuses before the decision on an application, and after an offer was accepted.
_EXAMINED = (
    "credit_record_pending",
    "initial_scoring_pending",
    "account_snapshot_pending",
    "account_snapshot_verification_pending",
)
_IDENTIFIED = ("identification_creation_pending", "identification_pending", "identification_completed")
_CREATED = ("credit_line_creation_pending", "credit_line_created")
_SENDERS = ("Jörg Mustermann", "Änne Müller", "Max Groß", "Zoë Weiß", "Søren Østergård")
_REASONS = ("The debtor name is not matching", "The account is blocked", "The transaction limit is exceeded")
_MONTH_BEGINS = ("2026-{:02}-01T00:00:00Z", "2026-{:02}-01T00:00:00.000Z")

Fact = tuple[str, dict[str, object]]


def notification(random: Random, event_type: str, document: Mapping[str, object]) -> Event:
    """Return a notification of a fact, under a new id."""
    entity = document.get("id") or document["account_id"]
    return Event(_id(random), event_type, str(entity), document)


def credit_line(random: Random) -> list[Fact]:
    """Return all events of one credit line application, in order; unknown values are null."""
    document: dict[str, object] = {
        "id": _id(random, "ccla"),
        "person_id": _id(random, "cper"),
        "decision": "PENDING",
        "credit_line_id": None,
        "identification_id": None,
        "offered_limit": None,
        "offered_interest_rate": None,
        "recipient_iban": _iban(random),
    }
    events: list[Fact] = []
    for changes in _changes(random):
        document = document | changes
        events.append((CREDIT_LINE, document))
    return events


def _changes(random: Random) -> list[dict[str, object]]:
    """Return the changes, event by event: examination, then rejection or offer; an offer expires or is accepted."""
    examined: list[dict[str, object]] = [{"status": status} for status in _EXAMINED]
    drawn = random.random()
    if drawn < 0.35:
        return [
            *examined[: random.randint(2, len(examined))],
            {"status": "rejected", "decision": "REJECTED", "status_description": "Rejected by Scorer"},
        ]
    offered = [*examined, _offer(random)]
    if drawn < 0.5:
        return [*offered, {"status": "expired"}]
    identified: list[dict[str, object]] = [{"status": status} for status in _IDENTIFIED]
    identified[0]["identification_id"] = _id(random, "cidt")
    created: list[dict[str, object]] = [{"status": status} for status in _CREATED]
    created[-1] |= {"credit_line_id": _id(random, "ccln"), "mandate_reference_number": f"LXD{random.getrandbits(50):X}"}
    return [*offered, *identified, *created]


def _offer(random: Random) -> dict[str, object]:
    income = round(random.lognormvariate(12.4, 0.5))  # cents a month
    limit = max(round(income * random.uniform(0.5, 3) / 10_000) * 10_000, 50_000)
    return {
        "status": "offered",
        "decision": "OFFERED",
        "offered_limit": _money(limit),
        "net_disposable_income": _money(income),
        "offered_interest_rate": round(random.triangular(0.06, 0.16, 0.11), 4),
    }


def overdraft_rate(random: Random) -> Fact:
    """Return a change of an overdraft's daily rate."""
    return OVERDRAFT_RATE, {
        "id": _id(random, "covd"),
        "interest_accrual_rate": round(random.uniform(0.0002, 0.0005), 7),
        "effective_from": random.choice(_MONTH_BEGINS).format(random.randint(1, 12)),
    }


def rejected_transaction(random: Random) -> Fact:
    """Return a rejected incoming transaction."""
    return REJECTED_TRANSACTION, {
        "status": "RETURNED",
        "status_reason": random.choice(_REASONS),
        "sender_name": random.choice(_SENDERS),
        "sender_iban": _iban(random),
        "person_id": _id(random, "cper"),
        "business_id": _id(random, "cbiz"),
        "account_id": _id(random, "cacc"),
    }


def fact(random: Random, event_type: str) -> Fact:
    """Return a fact of any type but a credit line application; of an unknown type, it has an id alone."""
    if event_type == OVERDRAFT_RATE:
        return overdraft_rate(random)
    if event_type == REJECTED_TRANSACTION:
        return rejected_transaction(random)
    return event_type, {"id": _id(random)}


def _iban(random: Random) -> str:
    """Return a German IBAN with correct check digits; no range is reserved for tests, so the account may exist."""
    account = f"11010100{random.randint(0, 10**10 - 1):010}"
    return f"DE{98 - int(f'{account}131400') % 97:02}{account}"  # 13, 14 and 00 stand for DE and empty check digits


def _money(cents: int) -> dict[str, object]:
    return {"value": cents, "unit": "cents", "currency": "EUR"}


def _id(random: Random, kind: str = "") -> str:
    return f"{random.getrandbits(128):032x}{kind}"
