"""Stable consumer names for worker processes, so that a process continues with the claims of its predecessor."""

import fcntl
import socket
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

from config.folders import private_folder


class ConsumerSlot:
    """The lowest free number on this host. A file lock holds it until the process ends, even if it is killed.

    `worker` identifies the parent process.
    """

    def __init__(self, directory: Path | None = None, worker: UUID | None = None) -> None:
        self.worker = worker or uuid4()
        self._folder = directory or private_folder("slots")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file, number = _lock_first_free(self._folder)
        self.name = f"{socket.gethostname()}/{number}"

    def release(self) -> None:
        """Free the number for another process."""
        self._file.close()

    def is_dead(self, name: str) -> bool:
        """Return whether `name` is a slot of this host that no process holds."""
        host, _, number = name.rpartition("/")
        if host != socket.gethostname() or name == self.name or not (self._folder / number).exists():
            return False
        with (self._folder / number).open("ab") as file:
            return _try_lock(file)


def _lock_first_free(folder: Path) -> tuple[IO[bytes], int]:
    number = 0
    while not _try_lock(file := (folder / str(number)).open("ab")):
        file.close()
        number += 1
    return file, number


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
