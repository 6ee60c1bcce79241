"""When a provider's retries arrive: the time between two tries of one delivery."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

# A sender's timer may be late, and so may be the network: for each try.
_LATE = timedelta(seconds=5)
# A try may seem too early: no time of receipt is before that of an earlier delivery, whatever the clocks say.
_EARLY = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Ranges of the time between the receipts of two tries of one delivery: (least, greatest)."""

    ranges: tuple[tuple[timedelta, timedelta], ...]

    @classmethod
    def of_waits(cls, waits: Sequence[timedelta], timeout: timedelta) -> Self:
        """Return the schedule of a sender that waits so long after each failed try, and may wait for its `timeout`.

        Any tries may be missing between two receipts: the time between them is a sum of waits that follow each other.
        """
        ends = range(1, len(waits) + 1)
        spans = [waits[start:end] for end in ends for start in range(end)]
        totals = [(sum(span, timedelta()), len(span)) for span in spans]
        return cls(tuple(sorted((total - _EARLY, total + tries * (timeout + _LATE)) for total, tries in totals)))

    @classmethod
    def within(cls, horizon: timedelta) -> Self:
        """Return the schedule of a sender that may try again at any time within `horizon`."""
        return cls(((timedelta(), horizon),))

    def fits(self, distance: timedelta) -> bool:
        """Return whether a retry may be received so long after an earlier try."""
        return any(least <= distance <= greatest for least, greatest in self.ranges)
