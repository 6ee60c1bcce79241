"""What an inbox answers."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.high_water_mark import HighWaterMark


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many entries wait, when the oldest was received (None without one), and the server's clock."""

    entries: int
    oldest_at: datetime | None
    server_time: datetime

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest entry, 0 without one."""
        return max((self.server_time - (self.oldest_at or self.server_time)).total_seconds(), 0)


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Result of an append: the mark that it proves, and whether to publish a wake-up."""

    mark: HighWaterMark
    publish_wakeup: bool
