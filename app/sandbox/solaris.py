"""Solaris' side of a delivery: numbers, signs and sends events."""

import hashlib
import hmac
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import httpx

from app.sandbox.hooks import Event, Request, Verdict


def sign(secret: str, body: bytes) -> str:
    """Return the signature header's value."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _backoff(first_seconds: float, total_seconds: float) -> tuple[float, ...]:
    """Return waits that double for as long as they fit into the total; a last one fills it."""
    waits = [first_seconds]
    while sum(waits) + 2 * waits[-1] <= total_seconds:
        waits.append(2 * waits[-1])
    return (*waits, total_seconds - sum(waits))


# Published is that waits grow exponentially for up to five days; where they begin is a guess.
SCHEDULE = _backoff(30.0, 432_000.0)


_CORRECTIONS: dict[str, dict[str, object]] = {
    "FREELANCER_CREDIT_LINE_APPLICATION": {"status_description": "Corrected"},
    "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE": {"interest_accrual_rate": 0.00027},
    "INCOMING_REJECTED_TRANSACTION": {"status_reason": "Corrected"},
}


@dataclass(frozen=True, slots=True)
class SolarisHook:
    """A subscription to one event type; an event keeps its id as the webhook's id over all tries."""

    url: str
    topic: str
    subscription: str
    secret: str = field(repr=False)
    waits: Sequence[float] = SCHEDULE
    timeout_seconds: float = 30.0
    provider: str = "solaris"

    def request(self, event: Event, attempt: int, fault: str | None) -> Request:
        """Return a try."""
        body = json.dumps(dict(event.document), ensure_ascii=False).encode()
        wrong = fault == "wrong-token"
        headers = {
            "Content-Type": "application/json",
            "Solaris-Webhook-Id": event.id,
            "Solaris-Webhook-Subscription-Id": self.subscription,
            "Solaris-Webhook-Event-Type": event.event_type,
            "Solaris-Webhook-Attempt": str(attempt),
            "Solaris-Webhook-Signature": sign(f"not-{self.secret}" if wrong else self.secret, body),
            "Solaris-Entity-Id": event.entity_id,
        }
        return Request(headers, body, ()) if wrong else Request(headers, body)

    def verdict(self, status: int) -> Verdict:
        """Judge an answer: any 2xx confirms, 410 cancels the subscription, after 422 nothing is tried again."""
        if status == 410:
            return "cancelled"
        if status == 422:
            return "give up"
        return "delivered" if 200 <= status < 300 else "try again"

    def corrected(self, event: Event) -> Event:
        """Return another notification on the same entity, with a value that differs."""
        changed = _CORRECTIONS.get(event.event_type, {"status": "corrected"})
        return replace(event, id=_another_id(event.id), document={**event.document, **changed})


def shake_hands(url: str, trust: ssl.SSLContext | None = None) -> int:
    """Send the empty, unsigned request that comes before a subscription's secret is known; return the status, or 0."""
    headers = {"Solaris-Webhook-Event-Type": "WEBHOOK-SUBSCRIPTION"}
    try:
        return httpx.post(url, headers=headers, timeout=30, verify=True if trust is None else trust).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return 0


def _another_id(known: str) -> str:
    return hashlib.sha256(known.encode()).hexdigest()[:32]


def event(random: Random, event_type: str, document: Mapping[str, object]) -> Event:
    """Return a notification of these facts, under an id of its own."""
    entity = document.get("id") or document["account_id"]
    return Event(f"{random.getrandbits(128):032x}", event_type, str(entity), document)


def credit_line(random: Random) -> list[tuple[str, dict[str, object]]]:
    """Return the events of one credit line application, in order: it is examined, then offered or rejected."""
    offered = random.random() < 0.6
    examined: dict[str, object] = {
        "id": _id(random, "ccla"),
        "person_id": _id(random, "cper"),
        "status": "initial_scoring_pending",
        "decision": "PENDING",
        "credit_line_id": None,
    }
    limit = {"value": random.randrange(50_000, 1_000_000, 10_000), "unit": "cents", "currency": "EUR"}
    decided = (
        {"status": "offered", "decision": "OFFERED", "offered_limit": limit, "offered_interest_rate": 0.11}
        if offered
        else {"status": "rejected", "decision": "REJECTED", "status_description": "Rejected by Scorer"}
    )
    event_type = "FREELANCER_CREDIT_LINE_APPLICATION"
    return [(event_type, examined), (event_type, examined | decided)]


def overdraft_rate(random: Random) -> tuple[str, dict[str, object]]:
    """Return a change of an overdraft's daily rate."""
    return "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE", {
        "id": _id(random, "covd"),
        "interest_accrual_rate": round(random.uniform(0.0002, 0.0005), 7),
        "effective_from": f"2026-{random.randint(1, 12):02}-01T00:00:00Z",
    }


def rejected_transaction(random: Random) -> tuple[str, dict[str, object]]:
    """Return a rejected incoming transaction."""
    return "INCOMING_REJECTED_TRANSACTION", {
        "status": "RETURNED",
        "status_reason": "The debtor name is not matching",
        "sender_name": random.choice(("Jörg Mustermann", "Änne Müller", "Max Groß")),
        "sender_iban": "DE32110101001000000029",
        "person_id": _id(random, "cper"),
        "business_id": _id(random, "cbiz"),
        "account_id": _id(random, "cacc"),
    }


def _id(random: Random, kind: str) -> str:
    return f"{random.getrandbits(128):032x}{kind}"
