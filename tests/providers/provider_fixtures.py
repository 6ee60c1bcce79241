"""The providers' sides, for the tests that hold for every one of them."""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

PROVIDERS = Path(__file__).parents[2] / "app" / "providers"


@dataclass(frozen=True)
class Sample:
    """A request as the provider would make it, and what must become of it."""

    name: str
    path: str
    headers: dict[str, str]
    body: bytes
    expect: dict[str, Any] = field(default_factory=dict)
    group: str | None = None


class Side(Protocol):
    """A provider, played by its test."""

    environment: dict[str, str]
    secrets: tuple[str, ...]
    # Whether its scheme authenticates content: a flipped byte must then be refused.
    signs_content: bool

    def samples(self) -> list[Sample]:
        """Return requests with what must become of them."""

    def forged(self) -> list[Sample]:
        """Return requests under a secret or key that the receiver does not have."""

    def tries(self) -> tuple[Sample, Sample]:
        """Return two tries of one notification."""

    def unknown(self) -> Sample:
        """Return something valid that the schemas do not know."""


def names() -> list[str]:
    """Return every provider's folder."""
    return sorted(folder.name for folder in PROVIDERS.iterdir() if (folder / "authentication.py").exists())


def side(name: str) -> Side:
    """Return the provider's side: tests/providers/NAME_side.py."""
    found: Side = importlib.import_module(f"tests.providers.{name}_fixtures").SIDE
    return found
