"""The providers' requests, for the contract tests of all providers."""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

PROVIDERS = Path(__file__).parents[3] / "app" / "providers"


@dataclass(frozen=True)
class Sample:
    """A request as the provider sends it, and its expected result."""

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
        """Return requests with their expected results."""

    def forged(self) -> list[Sample]:
        """Return requests under a secret or key that the receiver does not have."""

    def tries(self) -> tuple[Sample, Sample]:
        """Return two attempts of one notification."""

    def unknown(self) -> Sample:
        """Return a valid request with keys or a type that no schema describes."""


def names() -> list[str]:
    """Return every provider's folder."""
    return sorted(folder.name for folder in PROVIDERS.iterdir() if (folder / "authentication.py").exists())


def side(name: str) -> Side:
    """Return the provider's side: tests/support/providers/NAME_fixtures.py."""
    found: Side = importlib.import_module(f"tests.support.providers.{name}_fixtures").SIDE
    return found
