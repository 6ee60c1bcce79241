"""Numbers that processes of one machine hold one at a time, so that a process continues what another left behind."""

import fcntl
import itertools
from pathlib import Path
from typing import IO


class FileSlot:
    """The lowest free number in a folder. A file lock holds it until the process ends, even if it is killed."""

    def __init__(self, folder: Path) -> None:
        for number in itertools.count():
            self._file = _path(folder, number).open("ab")
            if _try_lock(self._file):
                break
            self._file.close()
        self.number = number

    def release(self) -> None:
        """Free the number for another process."""
        self._file.close()


def is_free(folder: Path, number: int) -> bool:
    """Return whether a process once held the number, and none holds it now."""
    if not _path(folder, number).exists():
        return False
    with _path(folder, number).open("ab") as file:
        return _try_lock(file)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.lock"


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
