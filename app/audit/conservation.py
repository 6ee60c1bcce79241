"""The conservation audit: every entry that was ever accepted is accounted for.

    per epoch:     appended              = receipts + copies + in_flight + accepted_loss + missing
    per provider:  appended + overflowed = receipts + copies + in_flight + accepted_loss + missing

- appended: entries appended to the inbox; overflowed: rows of the overflow table.
- receipts: entries that the ledger stored; copies: further entries of a stored receipt.
- in_flight: entries that still wait in the inbox or the overflow.
- accepted_loss: lost entries that an operator accepted with a reason.
- missing: the rest. It must be 0.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.inbox.stream import Inbox
from app.storage import audits, high_water_marks
from app.storage.audits import EntryCounts, Outcomes
from app.storage.connection import Connection
from app.storage.high_water_marks import HighWaterMark
from app.storage.overflow import EPOCH as OVERFLOW_EPOCH

COLUMNS = (
    "provider", "appended", "overflowed", "receipts", "copies", "in_flight", "accepted_loss", "missing",
    "stored", "duplicate", "dead",
)  # fmt: skip
EPOCH_COLUMNS = (
    "provider", "epoch", "last_seen_at", "appended", "receipts", "copies", "in_flight", "accepted_loss", "missing",
)  # fmt: skip
_NO_ENTRIES = EntryCounts(0, 0, 0)


@dataclass(frozen=True, slots=True)
class EpochBalance:
    """The balance of one epoch of an inbox. No count is ever below 0."""

    epoch: UUID
    last_seen_at: datetime | None
    appended: int
    receipts: int
    copies: int
    in_flight: int
    accepted_loss: int

    @classmethod
    def of(cls, epoch: UUID, mark: HighWaterMark | None, counts: EntryCounts, accepted: int) -> "EpochBalance":
        """Balance an epoch. Entries in the ledger or in flight count as appended even if no mark covers them."""
        appended = max(mark.appended if mark else 0, counts.known)
        return cls(
            epoch=epoch,
            last_seen_at=mark.observed_at if mark else None,
            appended=appended,
            receipts=counts.receipts,
            copies=counts.copies,
            in_flight=counts.in_flight,
            accepted_loss=min(accepted, appended - counts.known),
        )

    @property
    def lost(self) -> int:
        """Entries that are not accounted for, accepted or not."""
        return self.appended - self.receipts - self.copies - self.in_flight

    @property
    def missing(self) -> int:
        """Lost entries that no operator accepted."""
        return self.lost - self.accepted_loss


@dataclass(frozen=True, slots=True)
class ProviderBalance:
    """The balance of one provider: all its epochs, and its overflow, which is an epoch of its own.

    Each epoch is balanced on its own, so a surplus in one epoch cannot hide a loss in another.
    """

    provider: str
    epochs: tuple[EpochBalance, ...]
    overflow: EpochBalance
    outcomes: Outcomes

    @property
    def missing(self) -> int:
        """Lost entries that no operator accepted."""
        return self._total("missing")

    @property
    def in_flight(self) -> int:
        """Entries that still wait."""
        return self._total("in_flight")

    def row(self) -> dict[str, Any]:
        """Return the balance as a row of COLUMNS."""
        return {
            "provider": self.provider,
            "appended": self._total("appended") - self.overflow.appended,
            "overflowed": self.overflow.appended,
            **{name: self._total(name) for name in ("receipts", "copies", "in_flight", "accepted_loss", "missing")},
            "stored": self.outcomes.stored,
            "duplicate": self.outcomes.duplicate,
            "dead": self.outcomes.dead,
        }

    def losses(self) -> Iterator[dict[str, Any]]:
        """Yield a row of EPOCH_COLUMNS for each epoch that lost entries."""
        for epoch in self.epochs:
            if epoch.lost:
                yield {"provider": self.provider} | asdict(epoch) | {"missing": epoch.missing}

    def _total(self, name: str) -> int:
        return sum(getattr(epoch, name) for epoch in (*self.epochs, self.overflow))


def audit(connection: Connection, inbox: Inbox) -> ProviderBalance:
    """Balance one provider while its inbox is in use.

    The order of reading makes that safe. High-water marks come first: the inbox, read after them, holds every entry
    that they counted, unless it was lost. The ledger comes last, in one snapshot: an entry is deleted only after its
    commit, so each one is then seen waiting, in the ledger, or in both (and counted once).
    """
    marks = high_water_marks.load(connection, inbox.provider)
    accepted = audits.accepted(connection, inbox.provider)
    info = inbox.info()
    waiting = inbox.stream_ids(info.last_id)
    now = HighWaterMark(info.appended, info.last_id, datetime.now(UTC))
    before = marks.get(info.epoch, now)
    # The higher mark: a server that was restored to an earlier state counts fewer entries than were seen.
    last_id = max(now.last_id, before.last_id)
    marks[info.epoch] = HighWaterMark(max(now.appended, before.appended), last_id, now.observed_at)
    counts = audits.entry_counts(connection, inbox.provider, info.epoch, last_id, waiting)
    overflow_rows, overflow = audits.overflow_counts(connection, inbox.provider)
    return ProviderBalance(
        provider=inbox.provider,
        epochs=tuple(
            EpochBalance.of(epoch, marks.get(epoch), counts.get(epoch, _NO_ENTRIES), accepted.get(epoch, 0))
            for epoch in sorted(marks.keys() | counts.keys())
        ),
        overflow=EpochBalance(OVERFLOW_EPOCH, None, overflow_rows, **overflow._asdict(), accepted_loss=0),
        outcomes=audits.outcomes(connection, inbox.provider),
    )
