"""Fixtures of the sandbox's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.sandbox.dispatcher import Dispatcher
from tests.support.dispatching import Attempts
from tests.support.sandbox_process import Sandbox, sandbox_apis


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """The APIs, at 600 times the speed."""
    with sandbox_apis(tmp_path) as running:
        yield running


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


@pytest.fixture
def dispatcher(attempts: Attempts) -> Iterator[Dispatcher]:
    """A dispatcher that makes seven days a few seconds."""
    with Dispatcher(attempts.append, speed=100_000) as running:
        yield running
