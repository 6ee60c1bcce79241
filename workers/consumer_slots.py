"""Stable consumer names for worker processes, so that a process continues with the claims of its predecessor."""

import socket
from pathlib import Path
from uuid import UUID, uuid4

from config.file_slots import FileSlot, is_free
from config.folders import private_folder


class ConsumerSlot:
    """The name of a worker process: this host's, and the lowest number that no other process of it has.

    `worker` identifies the parent process.
    """

    def __init__(self, directory: Path | None = None, worker: UUID | None = None) -> None:
        self.worker = worker or uuid4()
        self._folder = directory or private_folder("slots")
        self._slot = FileSlot(self._folder)
        self.name = f"{socket.gethostname()}/{self._slot.number}"

    def release(self) -> None:
        """Free the name for another process."""
        self._slot.release()

    def is_dead(self, name: str) -> bool:
        """Return whether `name` is a slot of this host that no process holds."""
        host, _, number = name.rpartition("/")
        return host == socket.gethostname() and name != self.name and is_free(self._folder, int(number))
