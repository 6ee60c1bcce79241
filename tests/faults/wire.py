"""What providers' requests look like on the wire."""

import json

from app.sandbox.kompar import encrypt
from app.sandbox.solaris import sign
from tests.faults.scenarios import Event
from tests.providers.kompar_fixtures import TOKEN
from tests.providers.solaris_fixtures import SECRETS


def request(event: Event, attempt: int) -> tuple[str, bytes, dict[str, str]]:
    """Return path, body and headers as the provider makes them, encrypted anew each time."""
    if event.provider == "kompar":
        body = encrypt(event.document, event.key) if event.key else json.dumps(dict(event.document)).encode()
        return f"/webhooks/kompar/{event.event_type}", body, {"Authorization": f"token {TOKEN}"}
    body = json.dumps(dict(event.document)).encode()
    headers = {
        "Solaris-Webhook-Id": event.webhook_id or "",
        "Solaris-Webhook-Event-Type": event.event_type,
        "Solaris-Webhook-Attempt": str(attempt),
        "Solaris-Webhook-Signature": sign(SECRETS[event.event_type], body),
        "Solaris-Entity-Id": event.entity_id,
    }
    return "/webhooks/solaris", body, headers
