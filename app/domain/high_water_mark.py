"""High-water marks: what is known about how much an inbox once held."""

import time
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from uuid_utils.compat import uuid7

from app.domain.delivery import StreamId


class HighWaterMark(NamedTuple):
    """At least `appended` entries of an epoch were appended up to `last_id`.

    A mark is one fact: its count says nothing about another stream id. `observed_at` is when Postgres recorded it.
    """

    epoch: UUID
    appended: int
    last_id: StreamId
    observed_at: datetime | None = None

    def is_behind(self, seen: "HighWaterMark") -> bool:
        """Return whether an inbox in this state has lost what `seen` proves: epochs, counts and ids only increase."""
        if self.epoch != seen.epoch:
            return self.epoch < seen.epoch
        return self.appended < seen.appended or self.last_id < seen.last_id


def new_epoch(after: UUID | None = None) -> UUID:
    """Return an epoch that is later than `after`, even if this machine's clock is behind."""
    now = time.time_ns()
    after_ms = after.int >> 80 if after else 0  # UUIDv7: the first 48 bits are milliseconds
    return uuid7(nanoseconds=max(now, (after_ms + 1) * 1_000_000))
