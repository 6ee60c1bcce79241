"""Solaris, played by tests."""

import json
from pathlib import Path
from typing import Any

from app.sandbox.solaris import sign
from tests.support.providers.provider_fixtures import Sample

_DATA = json.loads((Path(__file__).parent / "samples" / "solaris.json").read_text())
SECRETS: dict[str, str] = _DATA["secrets"] | {"NEWLY_SUBSCRIBED": "5ec2e75ec2e75ec2e7"}
CREDIT_LINE = "FREELANCER_CREDIT_LINE_APPLICATION"


def request(name: str, content: dict[str, Any], event_type: str = CREDIT_LINE, **more: str) -> Sample:
    """Return a request as Solaris would make it; `secret` and `id` may differ."""
    body = json.dumps(content).encode()
    headers = {
        "Solaris-Webhook-Event-Type": event_type,
        "Solaris-Webhook-Signature": sign(more.get("secret", SECRETS.get(event_type, "none")), body),
        "Solaris-Webhook-Attempt": more.get("attempt", "1"),
    }
    return Sample(
        name, "/webhooks/solaris", headers | ({"Solaris-Webhook-Id": more["id"]} if "id" in more else {}), body
    )


class SolarisSide:
    """The raw body is signed under its event type's secrets."""

    environment = {  # noqa: RUF012 - a constant
        "SOLARIS_SECRETS": ",".join(f"{key}={value}" for key, value in SECRETS.items())
        + f",{CREDIT_LINE}=the-next-secret-of-it"
    }
    secrets = (*SECRETS.values(), "the-next-secret-of-it")
    signs_content = True

    def samples(self) -> list[Sample]:
        return [
            Sample(
                item["name"],
                "/webhooks/solaris",
                item["headers"],
                item["body"].encode(),
                item["expect"],
                item.get("group"),
            )
            for item in _DATA["deliveries"]
        ]

    def forged(self) -> list[Sample]:
        return [
            request("an unknown secret", {"id": "a"}, secret="unknown"),
            request("another type's secret", {"id": "a"}, secret=SECRETS["NEWLY_SUBSCRIBED"]),
            request("an event type without a secret", {"id": "a"}, "NEVER_SUBSCRIBED"),
            Sample("no event type", "/webhooks/solaris", {}, b"{}"),
            Sample(
                "a handshake with a body",
                "/webhooks/solaris",
                {"Solaris-Webhook-Event-Type": "WEBHOOK-SUBSCRIPTION"},
                b'{"id": "a"}',
            ),
        ]

    def tries(self) -> tuple[Sample, Sample]:
        content = {"id": "contract", "status": "offered"}
        return request("first", content, id="wh-c"), request("second", content, id="wh-c", attempt="2")

    def unknown(self) -> Sample:
        return request(
            "an event of an unknown type", {"id": "n", "anything": {"at": "all"}}, "NEWLY_SUBSCRIBED", id="wh-n"
        )


SIDE = SolarisSide()
