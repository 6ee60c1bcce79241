"""A file of labelled secrets, `label=secret,label=secret`, as a setting NAME_FILE names it."""

import fcntl
import os
from pathlib import Path

from config.environment import as_list_item


class SecretFile:
    """Adds secrets to one file, keeping mode and owner. A reader never sees half a secret."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # a link stays a link: its target is replaced

    def problem(self) -> str | None:
        """Return why no secret can be added, None if one can."""
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
        """Append `label=secret`, durably; entries with the same label stay.

        Raises:
            ValueError: The list cannot hold the secret.
            OSError: The file cannot be written.
        """
        if secret != secret.strip() or not secret.isprintable() or not secret:
            raise ValueError("the secret holds a space at an end, or characters that are not printable")
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # one writer at a time
            present = self.path.read_text(encoding="utf-8").strip().strip(",") if self.path.exists() else ""
            self._replace(f"{present},{label}={as_list_item(secret)}\n".lstrip(","))
            os.fsync(folder)
        finally:
            os.close(folder)

    def _replace(self, text: str) -> None:
        temporary = self.path.with_name(f".{self.path.name}.new")
        temporary.unlink(missing_ok=True)  # a crash left it; the caller's lock keeps other writers out
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                if self.path.exists():
                    status = self.path.stat()
                    os.fchown(descriptor, status.st_uid, status.st_gid)
                    os.fchmod(descriptor, status.st_mode & 0o7777)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
