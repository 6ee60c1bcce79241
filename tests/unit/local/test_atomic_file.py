"""Files of the data folder are complete or absent."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.local import atomic_file


@contextmanager
def disk_full() -> Iterator[None]:
    """Let no file of this process grow beyond ten bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("put", [atomic_file.write, atomic_file.keep])
def test_write_that_fails_leaves_no_file(tmp_path: Path, put: Callable[[Path, bytes], object]) -> None:
    with disk_full(), pytest.raises(OSError, match="File too large"):
        put(tmp_path / "secret", b"longer than ten bytes")
    assert list(tmp_path.iterdir()) == []


def test_write_that_fails_leaves_the_existing_file(tmp_path: Path) -> None:
    atomic_file.write(tmp_path / "list", b"one")
    with disk_full(), pytest.raises(OSError, match="File too large"):
        atomic_file.write(tmp_path / "list", b"one, two, three")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("list", b"one")]
