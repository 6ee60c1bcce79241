"""Records how complete the ledger is, and how far the inbox has come, so that an audit can find what is missing."""

import logging
import time
from datetime import timedelta

from app.domain import clocks
from app.domain.high_water_mark import HighWaterMark
from app.inbox.stream import Inbox
from app.storage import high_water_marks, reports
from app.storage.ledger import Ledger
from app.storage.overflow import Overflow

# An overflow row gets its time of receipt before its transaction commits, at most this long before.
_UNCOMMITTED = timedelta(seconds=2)
# How often the log repeats that clocks differ.
_REPEAT_SECONDS = 300.0
_AUDIT = "run kvitto audit: what the server forgot may be missing"
logger = logging.getLogger(__name__)


class Progress:
    """The progress of one provider, as one of its consumers sees it."""

    def __init__(self, inbox: Inbox, overflow: Overflow, ledger: Ledger) -> None:
        self._inbox = inbox
        self._overflow = overflow
        self._ledger = ledger
        self._silent_until = 0.0

    def record(self) -> None:
        """Record the mark of the inbox, how much waits, and until when the ledger is complete."""
        mark = self._checked_mark()
        with self._ledger.connected() as connection:
            before = reports.clock(connection)
            backlog = self._inbox.backlog()
            after = reports.clock(connection)
        overflow = self._overflow.waiting()
        skew = clocks.skew_seconds(backlog.server_time, mark.last_id.received_at, between=(before, after))
        complete_until = min(before, backlog.oldest_at or before, overflow.oldest_at or before) - _UNCOMMITTED
        self._ledger.record_freshness(backlog.entries + overflow.entries, complete_until, skew)
        if abs(skew) > clocks.TOLERATED_SECONDS and time.monotonic() > self._silent_until:
            logger.error(
                "clocks_differ", extra={"provider": self._inbox.provider, "redis_ahead_seconds": round(skew, 1)}
            )
            self._silent_until = time.monotonic() + _REPEAT_SECONDS

    def _checked_mark(self) -> HighWaterMark:
        """Record the inbox's mark. Begin another epoch first if the inbox was set back behind a mark in the ledger."""
        provider = self._inbox.provider
        with self._ledger.connected() as connection:
            seen = high_water_marks.load(connection, provider)  # first: the inbox only grows
            mark = self._inbox.mark()
            newest = max(each.epoch for each in (mark, *seen))
            if any(map(mark.is_behind, seen)) and self._inbox.end_epoch(mark.epoch, newest):
                logger.error("inbox_set_back", extra={"provider": provider, "epoch": mark.epoch, "hint": _AUDIT})
                mark = self._inbox.mark()
            high_water_marks.record(connection, [(provider, mark)])
        return mark
