"""What opening costs alone, without any store: `python -m benchmarks.baselines.opening BODIES` prints both rates.

Decrypted: from body to JSON object. Processed: unsealed, decrypted, validated, masked and digested, as a worker does.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from uuid_utils.compat import uuid7

from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.errors import InvalidDeliveryError
from app.processing.processor import DeliveryProcessor
from app.providers import registry
from app.providers.kompar.envelope import open_body
from config.environment import Environment
from tests.support.providers.kompar_fixtures import KEY

_SEALS = SealingKeys((("baseline", b"s" * 32),))
_NOW = datetime.now(UTC)


def read(path: Path) -> Iterator[bytes]:
    """Yield the bodies of a file."""
    with path.open("rb") as file:
        while length := int.from_bytes(file.read(4), "big"):
            yield file.read(length)


def processor() -> DeliveryProcessor:
    """Return what processes Kompar's deliveries."""
    variables = {"KOMPAR_KEYS": f"a={KEY}", "FINGERPRINT_KEY": "A" * 43 + "="}
    provider = registry.load("kompar", Environment(variables))
    assert provider is not None
    return DeliveryProcessor(_SEALS, provider)


def received(body: bytes) -> ReceivedDelivery:
    """Return a body as a worker gets it."""
    receipt = uuid7()
    delivery = Delivery(receipt, "kompar", "applications", {}, _SEALS.seal(receipt, body))
    return ReceivedDelivery(delivery, _NOW, receipt, StreamId(0, 0))


def _rate(work: Callable[[Any], object], items: list[Any]) -> float:
    started = time.perf_counter()
    for item in items:
        assert not isinstance(getattr(work(item), "result", None), InvalidDeliveryError), "a body that cannot be opened"
    return len(items) / (time.perf_counter() - started)


def main(path: Path) -> None:
    """Print events a second: decrypted, processed."""
    bodies, keys = list(read(path)), [("a", KEY.encode())]
    rates = {
        "decrypted": _rate(lambda body: open_body(body, keys), bodies),
        "processed": _rate(processor().process, [received(body) for body in bodies]),
    }
    print(json.dumps(rates))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
