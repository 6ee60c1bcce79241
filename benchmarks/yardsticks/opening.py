"""What opening costs alone, without any store: `python -m benchmarks.yardsticks.opening BODIES` prints both rates.

Decrypted: from body to JSON object. Settled: unsealed, decrypted, validated, masked and digested, as a worker does.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from uuid_utils.compat import uuid7

from app import providers
from app.crypto.sealing import SealingKeys
from app.delivery import Delivery, Position, Received
from app.errors import Rejected
from app.providers.kompar.envelope import open_body
from app.settling import Settler
from config.environment import Environment
from tests.providers.kompar_side import KEY

_SEALS = SealingKeys((("yardstick", b"s" * 32),))
_NOW = datetime.now(UTC)


def read(path: Path) -> Iterator[bytes]:
    """Yield the bodies of a file."""
    with path.open("rb") as file:
        while length := int.from_bytes(file.read(4), "big"):
            yield file.read(length)


def settler() -> Settler:
    """Return what makes settlements of Kompar's deliveries."""
    variables = {"KOMPAR_KEYS": f"a={KEY}", "FINGERPRINT_KEY": "A" * 43 + "="}
    provider = providers.load("kompar", Environment(variables))
    assert provider is not None
    return Settler(_SEALS, provider)


def received(body: bytes) -> Received:
    """Return a body as a worker gets it."""
    receipt = uuid7()
    delivery = Delivery(receipt, "kompar", "applications", {}, _SEALS.seal(receipt, body))
    return Received(delivery, _NOW, receipt, Position(0, 0))


def _rate(work: Callable[[Any], object], items: list[Any]) -> float:
    started = time.perf_counter()
    for item in items:
        assert not isinstance(getattr(work(item), "result", None), Rejected), "a body that cannot be opened"
    return len(items) / (time.perf_counter() - started)


def main(path: Path) -> None:
    """Print events a second: decrypted, settled."""
    bodies, keys = list(read(path)), [("a", KEY.encode())]
    rates = {
        "decrypted": _rate(lambda body: open_body(body, keys), bodies),
        "settled": _rate(settler().settle, [received(body) for body in bodies]),
    }
    print(json.dumps(rates))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
