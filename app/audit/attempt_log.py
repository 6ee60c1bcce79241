"""The record that a sender keeps of its tries: a line of JSON for each, written as it ends."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One request and the answer it got; nothing in it is secret, and no person can be told from it.

    `event` is the sender's own id of what it sent, the same in all tries; `attempt` counts them from 1. `status` 0
    means that no answer came. `becomes` holds the outcomes that an accepted try may have, none if it must be refused.
    """

    at: datetime
    provider: str
    topic: str
    event_type: str
    entity_id: str | None
    event: str
    attempt: int
    status: int
    receipt: str | None
    seconds: float
    becomes: tuple[str, ...]
    fault: str | None = None


class AttemptLogWriteError(Exception):
    """A file cannot take tries; the text says why, and what to do."""


class AttemptLog:
    """Appends tries to a file; threads may share it. Every call may raise AttemptLogWriteError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        with _told(path):
            if not _ends_whole(path):
                raise AttemptLogWriteError(
                    f"{path} ends in the middle of a line, as its sender did: name another with --record"
                )
            self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, each: DeliveryAttempt) -> None:
        """Write a try."""
        line = json.dumps(asdict(each) | {"at": each.at.isoformat()}, ensure_ascii=False)
        with self._lock, _told(self._path):
            self._file.write(line + "\n")

    def close(self) -> None:
        """Close the file."""
        with _told(self._path):
            self._file.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        mend = "mend that, or name another file with --record"
        raise AttemptLogWriteError(f"{path} cannot be written ({error.strerror}): {mend}") from error


def _ends_whole(path: Path) -> bool:
    """Tell whether what is appended begins a line."""
    if not path.is_file() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


_KINDS: dict[str, type | tuple[type, ...]] = {
    "provider": str, "topic": str, "event_type": str, "entity_id": (str, type(None)), "event": str, "attempt": int,
    "status": int, "receipt": (str, type(None)), "seconds": (int, float), "becomes": list,
    "fault": (str, type(None)),
}  # fmt: skip


class AttemptLogFormatError(ValueError):
    """A line tells of no try; the text says which."""


def read(path: Path) -> Iterator[DeliveryAttempt]:
    """Return the tries of a file; raises AttemptLogFormatError for what is none.

    A last line that is cut off is left out: its sender writes it still, or was ended while it did.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _try(json.loads(line))
            except (TypeError, KeyError, ValueError, RecursionError) as error:
                if number > 1 and not line.endswith(b"\n"):
                    return
                raise AttemptLogFormatError(f"line {number} of {path} is no record of a try") from error


def _try(fields: dict[str, Any]) -> DeliveryAttempt:
    if not all(isinstance(fields[name], kind) for name, kind in _KINDS.items()):
        raise TypeError("a field of another kind")
    return DeliveryAttempt(**fields | {"at": datetime.fromisoformat(fields["at"]), "becomes": tuple(fields["becomes"])})
