"""Fixtures of the sandbox's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.playing import Sandbox, playing


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """The APIs, at 600 times the speed."""
    with playing(tmp_path) as found:
        yield found
