"""The record that a sender keeps of its tries: a line of JSON for each, written as it ends."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock


@dataclass(frozen=True, slots=True)
class Try:
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


class Recording:
    """Appends tries to a file; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = Lock()

    def add(self, each: Try) -> None:
        """Write a try."""
        line = json.dumps(asdict(each) | {"at": each.at.isoformat()}, ensure_ascii=False)
        with self._lock:
            self._file.write(line + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Iterator[Try]:
    """Return the tries of a file; raises ValueError, with the line's number, for what is none."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                fields = json.loads(line)
                fields |= {"at": datetime.fromisoformat(fields["at"]), "becomes": tuple(fields["becomes"])}
                yield Try(**fields)
            except (TypeError, KeyError, ValueError) as error:
                raise ValueError(f"line {number} of {path} is no record of a try") from error
