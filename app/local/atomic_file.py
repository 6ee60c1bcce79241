"""Files of the data folder: readable by their owner only, complete or absent, safe under concurrent writers."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file; replace an existing one."""
    _temporary(path.parent, content).replace(path)


def keep(path: Path, content: bytes) -> bytes:
    """Write a file unless it exists; return what it holds. Of several concurrent writers, one wins."""
    if not path.exists():
        temporary = _temporary(path.parent, content)
        with suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
    return path.read_bytes()


def _temporary(folder: Path, content: bytes) -> Path:
    """Return a new file with this content that only its owner may read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # without it, a power cut can leave the name of an empty file
    except OSError:
        os.unlink(name)
        raise
    return Path(name)
