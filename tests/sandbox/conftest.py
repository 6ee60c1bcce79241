"""Fixtures of the sandbox's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.sandbox.dispatcher import Dispatcher
from tests.sandbox.dispatching import Tries
from tests.sandbox.sandbox_process import Sandbox, playing


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """The APIs, at 600 times the speed."""
    with playing(tmp_path) as found:
        yield found


@pytest.fixture
def tries() -> Tries:
    return Tries()


@pytest.fixture
def fast(tries: Tries) -> Iterator[Dispatcher]:
    """A dispatcher that makes five days a few seconds."""
    with Dispatcher(tries.append, speed=100_000) as found:
        yield found
