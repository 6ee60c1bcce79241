"""One delivery, as Kompar would make it."""

from collections.abc import Iterator, Mapping

import httpx

from app.sandbox.kompar import encrypt
from tests.support.providers.kompar_fixtures import KEY, TOKEN

PATH = "/webhooks/kompar/applications"
HEADERS = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
BODY = encrypt({"application_id": "under-load"}, KEY)


def deliver(
    client: httpx.Client, body: bytes | Iterator[bytes] = BODY, headers: Mapping[str, str] = HEADERS
) -> httpx.Response:
    """Deliver as Kompar would."""
    return client.post(PATH, content=body, headers=HEADERS | dict(headers))
