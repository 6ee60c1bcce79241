"""A file of labelled secrets, `label=secret,label=secret`, as a setting NAME_FILE names it: takes in one more."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SecretFile:
    """One such file. Its mode and owner stay; a reader finds it with the new secret or without, and never a part."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # where it is a link, what it leads to is replaced

    def problem(self) -> str | None:
        """Return why nothing can be added, None if it can."""
        folder = self.path.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} is not writable"
        if not self.path.exists():
            return None
        if not self.path.is_file() or not os.access(self.path, os.R_OK):
            return f"{self.path} is no readable file"
        if os.path.ismount(self.path):
            return f"{self.path} is mounted from elsewhere"
        return None if os.geteuid() in (0, self.path.stat().st_uid) else f"{self.path} belongs to somebody else"

    def add(self, label: str, secret: str) -> None:
        """Append `label=secret`, on disk when this returns; an entry of the same label stays.

        Raises:
            ValueError: The secret cannot stand in such a list.
            OSError: The file cannot be written.
        """
        if "," in secret or secret != secret.strip() or not secret:
            raise ValueError("the secret holds a comma or a space")
        with self._locked():
            kept = self.path.read_text(encoding="utf-8").strip().strip(",") if self.path.exists() else ""
            self._replace(f"{kept},{label}={secret}\n".lstrip(","))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others out who add to a file of this folder, until what the block did to the folder is on disk."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
            os.fsync(folder)
        finally:
            os.close(folder)

    def _replace(self, text: str) -> None:
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                if self.path.exists():
                    known = self.path.stat()
                    os.fchown(descriptor, known.st_uid, known.st_gid)
                    os.fchmod(descriptor, known.st_mode & 0o7777)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)
