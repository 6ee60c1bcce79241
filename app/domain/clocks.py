"""How far clocks may differ, and how far they do."""

from datetime import datetime

# Machines that keep time by NTP differ by milliseconds.
TOLERATED_SECONDS = 1.0


def skew_seconds(clock: datetime, newest: datetime, between: tuple[datetime, datetime]) -> float:
    """Return by how many seconds at least `clock` is ahead of another one; negative if it is behind.

    `clock` was read between two readings of the other one. `newest` is the last time that was given: in the future, it
    shows that a clock was ahead earlier.
    """
    before, after = between
    if clock < before:
        return (clock - before).total_seconds()
    return max(0.0, (max(clock, newest) - after).total_seconds())
