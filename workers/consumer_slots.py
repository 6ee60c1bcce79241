"""Stable consumer names for worker processes, so that a process continues with the claims of its predecessor."""

import fcntl
import itertools
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
        for number in itertools.count():
            self._file = (self._folder / str(number)).open("ab")
            if _try_lock(self._file):
                break
            self._file.close()
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


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
