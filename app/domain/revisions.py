"""Decide which receipts of an entity are new revisions, duplicates or late retries.

1. The receipts of an entity are decided in order of receipt, so the order of processing never changes a decision.
2. A receipt is a duplicate if every key and value it holds is already in the newest revision.
3. It is a late retry, also a duplicate, if an older revision holds all of it and was received within the retry horizon.
4. If the provider sends event ids, a receipt is compared only with the revisions of the same id, without a horizon.
5. Every other receipt is a new revision; one that reuses the id of different content carries the flag `id-reused`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from uuid import UUID

LATE_RETRY = "late-retry"
ID_REUSED = "id-reused"


@dataclass(frozen=True, slots=True)
class EventReceipt:
    """One valid receipt of an entity; `digests` and `provider_event_id` as in Event."""

    receipt: UUID
    received_at: datetime
    digests: Mapping[str, str]
    provider_event_id: str | None = None

    @property
    def order(self) -> tuple[datetime, UUID]:
        """Sort key: time of receipt, then receipt id."""
        return self.received_at, self.receipt

    def adds_nothing_to(self, revision: "EventReceipt") -> bool:
        """Return whether `revision` already holds every key and value. A missing key differs from null."""
        return self.digests.items() <= revision.digests.items()


@dataclass(frozen=True, slots=True)
class RevisionDecision:
    """The decision on one receipt: its revision number, from 1, or None for a duplicate; a reason where one is due."""

    revision: int | None
    reason: str | None = None
    flags: tuple[str, ...] = ()


DUPLICATE = RevisionDecision(None)


def fold(receipts: Iterable[EventReceipt], horizon: timedelta) -> dict[UUID, RevisionDecision]:
    """Decide all receipts of one entity; `horizon` is how long retries of a revision may arrive after its receipt."""
    revisions: list[EventReceipt] = []
    by_event_id: dict[str | None, list[EventReceipt]] = defaultdict(list)
    decisions: dict[UUID, RevisionDecision] = {}
    for receipt in sorted(receipts, key=attrgetter("order")):
        same_id = by_event_id[receipt.provider_event_id]
        if receipt.provider_event_id is None:
            decision = _decide_by_content(receipt, revisions, horizon)
        elif any(map(receipt.adds_nothing_to, same_id)):
            decision = DUPLICATE
        else:
            decision = RevisionDecision(len(revisions) + 1, flags=(ID_REUSED,) if same_id else ())
        decisions[receipt.receipt] = decision
        if decision.revision is not None:
            revisions.append(receipt)
            same_id.append(receipt)
    return decisions


def _decide_by_content(
    receipt: EventReceipt, revisions: Sequence[EventReceipt], horizon: timedelta
) -> RevisionDecision:
    """Decide a receipt without an event id: only its content can identify a retry."""
    if revisions and receipt.adds_nothing_to(revisions[-1]):
        return DUPLICATE
    for revision in islice(reversed(revisions), 1, None):
        if revision.received_at < receipt.received_at - horizon:
            break  # no retry takes this long: the entity changed back
        if receipt.adds_nothing_to(revision):
            return RevisionDecision(None, LATE_RETRY)
    return RevisionDecision(len(revisions) + 1)
