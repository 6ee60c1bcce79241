"""The audit: every entry ever appended to an inbox or the overflow is a receipt, a copy of one, or in flight."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.inbox.stream import Inbox
from app.storage import audit_results, entry_counts, high_water_marks
from app.storage.connection import Connection
from app.storage.entry_counts import EntryCounts, Outcomes
from app.storage.high_water_marks import HighWaterMark

COLUMNS = (
    "provider",
    "appended",
    "overflowed",
    "receipts",
    "copies",
    "in_flight",
    "accepted_loss",
    "missing",
    "stored",
    "duplicate",
    "dead",
)
EPOCH_COLUMNS = (
    "provider", "epoch", "last_seen_at", "appended", "receipts", "copies", "in_flight", "accepted_loss", "missing",
)  # fmt: skip
_NONE = EntryCounts(0, 0, 0)


@dataclass(frozen=True, slots=True)
class EpochBalance:
    """One epoch's books: appended = receipts + copies + in_flight + accepted_loss + missing, none ever below 0."""

    epoch: UUID
    last_seen_at: datetime | None
    appended: int
    receipts: int
    copies: int
    in_flight: int
    accepted_loss: int

    @classmethod
    def of(cls, epoch: UUID, witness: HighWaterMark | None, found: EntryCounts, accepted: int) -> "EpochBalance":
        """Balance the books; what the ledger holds, or what waits, was appended too, whoever saw it."""
        appended = max(witness.appended if witness else 0, found.known)
        return cls(
            epoch=epoch,
            last_seen_at=witness.observed_at if witness else None,
            appended=appended,
            receipts=found.receipts,
            copies=found.copies,
            in_flight=found.in_flight,
            accepted_loss=min(accepted, appended - found.known),
        )

    @property
    def lost(self) -> int:
        """Entries that nobody can account for, whether or not someone settled them."""
        return self.appended - self.receipts - self.copies - self.in_flight

    @property
    def missing(self) -> int:
        """Entries lost that nobody settled."""
        return self.lost - self.accepted_loss


@dataclass(frozen=True, slots=True)
class ProviderBalance:
    """One provider's books: appended + overflowed = receipts + copies + in_flight + accepted_loss + missing.

    `missing` must be 0. Sums over all epochs; since each has its own balance, none makes up for another's loss.
    """

    provider: str
    overflowed: int
    overflow: EntryCounts
    epochs: tuple[EpochBalance, ...]
    outcomes: Outcomes

    @property
    def missing(self) -> int:
        """Entries that nobody can account for, and nobody settled."""
        return self._sum("missing") + self.overflowed - self.overflow.known

    @property
    def in_flight(self) -> int:
        """Entries that wait still."""
        return self._sum("in_flight") + self.overflow.in_flight

    def row(self) -> dict[str, Any]:
        """Return the account as a row to print."""
        return {
            "provider": self.provider,
            "appended": self._sum("appended"),
            "overflowed": self.overflowed,
            "receipts": self._sum("receipts") + self.overflow.receipts,
            "copies": self._sum("copies") + self.overflow.copies,
            "in_flight": self.in_flight,
            "accepted_loss": self._sum("accepted_loss"),
            "missing": self.missing,
            "stored": self.outcomes.stored,
            "duplicate": self.outcomes.duplicate,
            "dead": self.outcomes.dead,
        }

    def losses(self) -> Iterator[dict[str, Any]]:
        """Return the epochs that lost something, as rows to print."""
        for life in self.epochs:
            if life.lost:
                yield {"provider": self.provider} | asdict(life) | {"missing": life.missing}

    def _sum(self, name: str) -> int:
        return sum(getattr(life, name) for life in self.epochs)


def audit(connection: Connection, inbox: Inbox) -> ProviderBalance:
    """Account for one provider's inbox while it is in use, all its epochs and the overflow.

    Witnesses are read first, the inbox after them: all they saw is in it, unless it was lost. The ledger is
    read last, in one snapshot: an entry is deleted only after its commit, so each one appended by then is
    seen waiting, or in the ledger, or both (counted once).
    """
    lives = _lives(connection, inbox)
    overflow = entry_counts.overflow_counts(connection, inbox.provider)
    return ProviderBalance(
        provider=inbox.provider,
        overflowed=overflow.rows,
        overflow=overflow.entries,
        epochs=lives,
        outcomes=entry_counts.outcomes(connection, inbox.provider),
    )


def _lives(connection: Connection, inbox: Inbox) -> tuple[EpochBalance, ...]:
    seen = high_water_marks.load(connection, inbox.provider)
    accepted = audit_results.accepted(connection, inbox.provider)
    census = inbox.info()
    waiting = inbox.stream_ids(census.last_id)
    now = HighWaterMark(census.appended, census.last_id, datetime.now(UTC))
    current = seen[census.epoch] = _merge_marks(now, seen.get(census.epoch, now))
    found = entry_counts.entry_counts(connection, inbox.provider, census.epoch, current.last_id, waiting)
    epochs = sorted(seen.keys() | found.keys())
    return tuple(
        EpochBalance.of(epoch, seen.get(epoch), found.get(epoch, _NONE), accepted.get(epoch, 0)) for epoch in epochs
    )


def _merge_marks(now: HighWaterMark, before: HighWaterMark) -> HighWaterMark:
    """Return what both prove: a server that was set back to an earlier state counts fewer than were seen."""
    return HighWaterMark(max(now.appended, before.appended), max(now.last_id, before.last_id), now.observed_at)
