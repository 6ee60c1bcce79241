"""A problem that needs an operator, in words: what, since when, and what to do."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Problem:
    """What the console, `kvitto health` and the log say. `kind`, `provider` and `subject` name it while it lasts."""

    kind: str
    provider: str  # empty if it concerns no single one
    what: str
    hint: str
    since: datetime | None = None  # None if it is not known
    subject: str = ""

    @property
    def name(self) -> tuple[str, str, str]:
        """Return what stays the same while counts and times in the words change."""
        return self.kind, self.provider, self.subject

    def __str__(self) -> str:
        whose = f"{self.provider}: " if self.provider else ""
        since = f" (since {moment(self.since)})" if self.since else ""
        return f"{whose}{self.what}{since}. {self.hint}"


def moment(at: datetime) -> str:
    """Return a time as sentences write it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
