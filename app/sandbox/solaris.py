"""Solaris' rules of delivery: every event has an id and is signed."""

import hashlib
import hmac
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import httpx

from app.sandbox.fake_solaris import CREDIT_LINE, OVERDRAFT_RATE, REJECTED_TRANSACTION
from app.sandbox.hooks import Event, FinalStatus, Hook, OutgoingRequest
from app.sandbox.http_attempt import NO_ANSWER
from app.tls import LOOPBACK_DIRECT


def sign(secret: str, body: bytes) -> str:
    """Return the signature header's value."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _backoff(first_seconds: float, total_seconds: float) -> tuple[float, ...]:
    """Return waits that double while they fit into the total; the last one fills it."""
    waits = [first_seconds]
    while sum(waits) + 2 * waits[-1] <= total_seconds:
        waits.append(2 * waits[-1])
    return (*waits, total_seconds - sum(waits))


# Solaris publishes that waits grow exponentially for up to seven days; the first wait is a guess.
SCHEDULE = _backoff(30.0, 604_800.0)
_FINAL_STATUSES: dict[int, FinalStatus] = {410: "cancelled", 422: "given up"}

_CORRECTIONS: dict[str, dict[str, object]] = {
    CREDIT_LINE: {"status_description": "Corrected"},
    OVERDRAFT_RATE: {"interest_accrual_rate": 0.00027},
    REJECTED_TRANSACTION: {"status_reason": "Corrected"},
}


@dataclass(frozen=True, slots=True)
class SolarisHook(Hook):
    """A subscription to one event type; the webhook id is the event's id, the same in all attempts."""

    provider: ClassVar[str] = "solaris"
    subscription: str
    secret: str = field(repr=False)
    waits: Sequence[float] = field(default=SCHEDULE, kw_only=True)
    timeout_seconds: float = field(default=30.0, kw_only=True)

    def request(self, event: Event, attempt: int, fault: str | None) -> OutgoingRequest:
        """Build the request of one attempt."""
        body = json.dumps(dict(event.document), ensure_ascii=False).encode()
        is_wrong = fault == "wrong-token"
        headers = {
            "Content-Type": "application/json",
            "Solaris-Webhook-Id": event.id,
            "Solaris-Webhook-Subscription-Id": self.subscription,
            "Solaris-Webhook-Event-Type": event.event_type,
            "Solaris-Webhook-Attempt": str(attempt),
            "Solaris-Webhook-Signature": sign(f"not-{self.secret}" if is_wrong else self.secret, body),
            "Solaris-Entity-Id": event.entity_id,
        }
        return OutgoingRequest(headers, body, () if is_wrong else ("stored", "duplicate"))

    def final_status(self, status: int) -> FinalStatus | None:
        """Return "delivered" for any 2xx; 410 cancels the subscription, and 422 is never retried."""
        if 200 <= status < 300:
            return "delivered"
        return _FINAL_STATUSES.get(status)

    def corrected(self, event: Event) -> Event:
        """Return another notification on the same entity, with a changed value."""
        changed = _CORRECTIONS.get(event.event_type, {"status": "corrected"})
        another_id = hashlib.sha256(event.id.encode()).hexdigest()[:32]
        return replace(event, id=another_id, document={**event.document, **changed})


def shake_hands(url: str, trust: ssl.SSLContext | None = None) -> int:
    """Send the empty, unsigned request that precedes a subscription; return the status, or 0 for no answer."""
    headers = {"Solaris-Webhook-Event-Type": "WEBHOOK-SUBSCRIPTION"}
    try:
        with httpx.Client(timeout=30, verify=True if trust is None else trust, mounts=LOOPBACK_DIRECT) as client:
            return client.post(url, headers=headers).status_code
    except NO_ANSWER:
        return 0
