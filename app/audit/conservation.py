"""The conservation audit: every entry that was ever accepted is accounted for.

    per epoch:     appended              = receipts + copies + in_flight + accepted_loss + missing
    per provider:  appended + overflowed = receipts + copies + in_flight + accepted_loss + missing

- appended: entries appended to the inbox; overflowed: rows of the overflow table.
- receipts: entries that the ledger stored; copies: further entries of a stored receipt.
- in_flight: entries that still wait in the inbox or the overflow.
- accepted_loss: lost entries that an operator accepted with a reason.
- missing: the rest. It must be 0.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from app.domain.delivery import WaitingEntry
from app.domain.high_water_mark import HighWaterMark
from app.inbox.stream import Inbox
from app.storage import audits, high_water_marks
from app.storage.audits import EntryCounts
from app.storage.connection import Connection
from app.storage.overflow import EPOCH as OVERFLOW_EPOCH

COLUMNS = (
    "provider", "appended", "overflowed", "receipts", "copies", "in_flight", "accepted_loss", "missing",
    "stored", "duplicate", "dead", "discarded",
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
    def of(
        cls, epoch: UUID, last_seen_at: datetime | None, counts: EntryCounts, lost: int, accepted: int
    ) -> "EpochBalance":
        """Balance an epoch that lost so many entries, of which an operator accepted some."""
        return cls(
            epoch=epoch,
            last_seen_at=last_seen_at,
            appended=counts.known + lost,
            receipts=counts.receipts,
            copies=counts.copies,
            in_flight=counts.in_flight,
            accepted_loss=min(accepted, lost),
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
    outcomes: Mapping[str, int]

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
            **{outcome: self.outcomes.get(outcome, 0) for outcome in ("stored", "duplicate", "dead", "discarded")},
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
    commit, so each one is then seen waiting, in the ledger, or in both (and counted once). Of the ledger, periods that
    were counted before are added up.
    """
    provider = inbox.provider
    marks = high_water_marks.load(connection, provider)
    accepted = audits.accepted(connection, provider)
    marks.append(inbox.mark()._replace(observed_at=datetime.now(UTC)))
    waiting = inbox.waiting()
    with audits.snapshot(connection):
        in_flight = audits.in_flight(connection, provider, waiting)
        ledger = audits.ledger_counts(connection, provider)
        later = audits.entries_after(connection, provider, [(mark.epoch, mark.last_id) for mark in marks])
    in_epoch = Counter(entry.epoch for entry in in_flight)
    counts = {
        epoch: ledger.epochs.get(epoch, _NO_ENTRIES)._replace(in_flight=in_epoch[epoch])
        for epoch in ledger.epochs.keys() | in_epoch.keys()
    }
    overflow_lost = ledger.overflow_rows - ledger.overflow.known
    lost = _lost(marks, later, counts, in_flight)
    last_seen = {mark.epoch: mark.observed_at for mark in sorted(marks, key=attrgetter("appended"))}
    return ProviderBalance(
        provider=provider,
        epochs=tuple(
            EpochBalance.of(
                epoch, last_seen.get(epoch), counts.get(epoch, _NO_ENTRIES), lost.get(epoch, 0), accepted.get(epoch, 0)
            )
            for epoch in sorted(last_seen.keys() | counts.keys())
        ),
        overflow=EpochBalance.of(OVERFLOW_EPOCH, None, ledger.overflow, overflow_lost, 0),
        outcomes=ledger.outcomes,
    )


def _lost(
    marks: Sequence[HighWaterMark],
    later: Sequence[int],
    counts: Mapping[UUID, EntryCounts],
    in_flight: Sequence[WaitingEntry],
) -> dict[UUID, int]:
    """Return how many entries of each epoch are lost: what its marks prove at most.

    Each mark is compared with the entries up to its own stream id: those of its epoch without the `later` ones of the
    ledger and of the inbox. They cannot make up for entries that it counted, for example after Redis was set back.
    """
    waiting = defaultdict(list)
    for stream_id, epoch in sorted((entry.stream_id, entry.epoch) for entry in in_flight):
        waiting[epoch].append(stream_id)
    lost: dict[UUID, int] = defaultdict(int)
    for mark, later_entries in zip(marks, later, strict=True):
        later_waiting = len(waiting[mark.epoch]) - bisect_right(waiting[mark.epoch], mark.last_id)
        found = counts.get(mark.epoch, _NO_ENTRIES).known - later_entries - later_waiting
        lost[mark.epoch] = max(lost[mark.epoch], mark.appended - found)
    return lost
