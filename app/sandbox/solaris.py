"""Solaris' side of a delivery: numbers, signs and sends events."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from random import Random

import httpx

from app.sandbox.answers import Answer


def sign(secret: str, body: bytes) -> str:
    """Return the signature header's value."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Sender:
    """Sends to one receiver; `secrets` are by event type."""

    def __init__(self, url: str, secrets: Mapping[str, str]) -> None:
        self._client = httpx.Client(base_url=url, timeout=30)
        self._secrets = secrets

    def shake_hands(self) -> Answer:
        """Send the empty, unsigned request that comes before a subscription's secret is known."""
        return self._post(b"", {"Solaris-Webhook-Event-Type": "WEBHOOK-SUBSCRIPTION"})

    def send(self, event_type: str, document: Mapping[str, object], webhook_id: str, attempt: int = 1) -> Answer:
        """Make one try."""
        body = json.dumps(dict(document), ensure_ascii=False).encode()
        headers = {
            "Solaris-Webhook-Id": webhook_id,
            "Solaris-Webhook-Event-Type": event_type,
            "Solaris-Webhook-Attempt": str(attempt),
            "Solaris-Webhook-Signature": sign(self._secrets[event_type], body),
            "Solaris-Entity-Id": str(document.get("id", document.get("account_id", ""))),
        }
        return self._post(body, headers)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, body: bytes, headers: dict[str, str]) -> Answer:
        started = time.monotonic()
        try:
            answer = self._client.post("/webhooks/solaris", content=body, headers=headers)
        except httpx.HTTPError:
            return Answer(0, None, time.monotonic() - started)
        return Answer.of(answer, time.monotonic() - started)


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
