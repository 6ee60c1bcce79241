"""Files of the data folder: for their owner alone, whole or not there, whoever else writes them at the same time."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file, in place of the one that may be there."""
    _written(path.parent, content).replace(path)


def keep(path: Path, content: bytes) -> bytes:
    """Write a file unless it is there; return what it holds. Of several who do so at once, one wins."""
    if not path.exists():
        fresh = _written(path.parent, content)
        with suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return path.read_bytes()


def _written(folder: Path, content: bytes) -> Path:
    """Return a new file that only its owner may read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or else a power cut may leave the name, and nothing in it
    except OSError:
        os.unlink(name)
        raise
    return Path(name)
