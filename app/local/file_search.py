"""Searches files for a text, whatever their format."""

import re
from collections.abc import Iterator
from pathlib import Path

_CHUNK_BYTES = 1024 * 1024
# A match may begin in one chunk and end in the next.
_OVERLAP_BYTES = 1024


def files_with(folder: Path, pattern: re.Pattern[bytes]) -> Iterator[Path]:
    """Yield the files below a folder that hold a match. A file that goes away meanwhile holds none."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        try:
            if _holds(path, pattern):
                yield path
        except FileNotFoundError:
            continue


def _holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    with path.open("rb") as file:
        before = b""
        while chunk := file.read(_CHUNK_BYTES):
            if pattern.search(before + chunk):
                return True
            before = chunk[-_OVERLAP_BYTES:]
    return False
