"""Slots: stable names for worker processes, so that a successor takes up what its predecessor had claimed."""

import fcntl
import socket
from itertools import count
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

from config.folders import private_folder


class ConsumerSlot:
    """The lowest free number on this host, held by a file lock until the process ends, however it ends.

    `worker` names the main process that it belongs to.
    """

    def __init__(self, directory: Path | None = None, worker: UUID | None = None) -> None:
        self.worker = worker or uuid4()
        self._folder = directory or private_folder("slots")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file, number = _lock_first_free(self._folder)
        self.name = f"{socket.gethostname()}/{number}"

    def release(self) -> None:
        """Give the number back."""
        self._file.close()

    def is_dead(self, name: str) -> bool:
        """Tell whether `name` is a slot of this host that no process holds."""
        host, _, number = name.rpartition("/")
        if host != socket.gethostname() or name == self.name or not (self._folder / number).exists():
            return False
        with (self._folder / number).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True


def _lock_first_free(folder: Path) -> tuple[IO[bytes], int]:
    for number in count():
        file = (folder / str(number)).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            return file, number
    raise AssertionError("unreachable")
