"""Kompar, played by tests."""

import json
from pathlib import Path

from app.sandbox.kompar import encrypt
from tests.support.providers.provider_fixtures import Sample

TOKEN = "xxxxx-yyyyy-zzzzz"
KEY = "0123456789abcdef0123456789abcdef"
DELIVERIES = json.loads((Path(__file__).parent / "samples" / "kompar.json").read_text())["deliveries"]
APPLICATION = {"application_id": "contract", "amount": 1, "purpose": "Övrigt"}


def request(name: str, body: bytes, topic: str = "applications", token: str = TOKEN) -> Sample:
    """Return a request as Kompar would make it."""
    return Sample(name, f"/webhooks/kompar/{topic}", {"Authorization": f"token {token}"}, body)


class KomparSide:
    """The token is all that authenticates; what is encrypted under another key cannot be opened."""

    environment = {  # noqa: RUF012 - a constant
        "KOMPAR_TOKENS": f"another-token-0123,{TOKEN}",
        "KOMPAR_KEYS": f"newer={'n' * 32},sample={KEY}",
    }
    secrets = (TOKEN, KEY, "another-token-0123", "n" * 32)
    signs_content = False

    def samples(self) -> list[Sample]:
        return [
            Sample(
                item["name"],
                f"/webhooks/kompar/{item['topic']}",
                {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
                item["body"].encode(),
                {"http": 200} | item["expect"],
                item.get("group"),
            )
            for item in DELIVERIES
        ]

    def forged(self) -> list[Sample]:
        return [
            request("an unknown token", encrypt(APPLICATION, KEY), token="zzzzz"),
            request("an unknown key", encrypt(APPLICATION, "u" * 32)),
        ]

    def tries(self) -> tuple[Sample, Sample]:
        return request("first", encrypt(APPLICATION, KEY)), request("second", encrypt(APPLICATION, KEY))

    def unknown(self) -> Sample:
        return request("an unknown key in it", encrypt(APPLICATION | {"unheard_of": [1]}, KEY))


SIDE = KomparSide()
