"""A sender's log of its delivery attempts: one line of JSON per attempt, written when the attempt ends."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One request and its answer. It holds no secret and no personal data.

    event: the sender's own id of the event, the same in all attempts.
    attempt: counts the attempts of an event, from 1.
    status: HTTP status of the answer, 0 if none came.
    becomes: outcomes that an accepted attempt may have; empty if the receiver must reject it.
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
    """An attempt log cannot be written; the text says why, and what to do."""


class AttemptLogFormatError(ValueError):
    """A line is not a delivery attempt; the text names it."""


class AttemptLog:
    """Appends attempts to a file. Threads may share it. Every call may raise AttemptLogWriteError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        with _translate_errors(path):
            if not _ends_with_newline(path):
                message = f"{path} ends in the middle of a line, so its sender was killed: name another with --record"
                raise AttemptLogWriteError(message)
            self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, attempt: DeliveryAttempt) -> None:
        """Append an attempt."""
        line = json.dumps(asdict(attempt) | {"at": attempt.at.isoformat()}, ensure_ascii=False)
        with self._lock, _translate_errors(self._path):
            self._file.write(line + "\n")

    def close(self) -> None:
        """Close the file."""
        with _translate_errors(self._path):
            self._file.close()


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "correct that, or name another file with --record"
        raise AttemptLogWriteError(f"{path} cannot be written ({error.strerror}): {hint}") from error


def _ends_with_newline(path: Path) -> bool:
    """Return whether an appended text begins a new line."""
    if not path.is_file() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


# The types that the fields have in JSON.
_FIELD_TYPES = get_type_hints(DeliveryAttempt) | {"at": str, "seconds": int | float, "becomes": list}


def read(path: Path) -> Iterator[DeliveryAttempt]:
    """Yield the attempts of a file; raise AttemptLogFormatError for a line that is none.

    A last line without its end is left out: its sender is still writing it, or was killed while it wrote.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _parse(json.loads(line))
            except (TypeError, KeyError, ValueError, RecursionError) as error:
                if number > 1 and not line.endswith(b"\n"):
                    return
                raise AttemptLogFormatError(f"line {number} of {path} is no delivery attempt") from error


def _parse(fields: dict[str, Any]) -> DeliveryAttempt:
    if not all(isinstance(fields[name], expected) for name, expected in _FIELD_TYPES.items()):
        raise TypeError("a field has another type")
    return DeliveryAttempt(**fields | {"at": datetime.fromisoformat(fields["at"]), "becomes": tuple(fields["becomes"])})
