"""Decide which receipts of an entity are new revisions, duplicates or late retries.

1. The receipts of an entity are decided in order of receipt, so the order of processing never changes a decision.
2. A receipt is a duplicate if every key and value it holds is already in the newest revision.
3. It is a late retry, also a duplicate, if an older revision holds all of it, and either the very same encrypted body
   was received before, or the time since some receipt of that revision fits the provider's retry schedule.
4. An operator may accept a late retry: then it is a revision, because the entity changed back.
5. If the provider sends event ids, a receipt is compared only with the revisions of the same id, whatever the time.
6. Every other receipt is a new revision; one that reuses the id of different content carries the flag `id-reused`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from app.domain.retries import RetrySchedule

LATE_RETRY = "late-retry"
ACCEPTED = "accepted-by-operator"
ID_REUSED = "id-reused"
# The flag of an entity; its views add it from reporting.suspected_late_retries.
SUSPECTED = "late-retry-suspected"
# No provider tries a delivery more often.
_MAX_TRIES = 25


@dataclass(frozen=True, slots=True)
class EventReceipt:
    """One valid receipt of an entity; `digests`, `body_digest` and `provider_event_id` as in Event.

    is_accepted: an operator decided that it is no late retry.
    """

    receipt: UUID
    received_at: datetime
    digests: Mapping[str, str]
    provider_event_id: str | None = None
    body_digest: str | None = None
    is_accepted: bool = False

    @property
    def order(self) -> tuple[datetime, UUID]:
        """Sort key: time of receipt, then receipt id."""
        return self.received_at, self.receipt

    def adds_nothing_to(self, revision: "EventReceipt") -> bool:
        """Return whether `revision` already holds every key and value. A missing key differs from null."""
        return self.digests.items() <= revision.digests.items()


@dataclass(frozen=True, slots=True)
class RevisionDecision:
    """The decision on one receipt: its revision number, from 1, or None for a duplicate; a reason where one is due.

    retry_of: the earlier tries, if the time alone shows that it is a late retry: it may be a change back as well.
    """

    revision: int | None
    reason: str | None = None
    flags: tuple[str, ...] = ()
    retry_of: tuple[UUID, ...] = ()


DUPLICATE = RevisionDecision(None)


@dataclass(slots=True)
class _Revision:
    """A revision so far: the receipt that made it, and all tries, that receipt and those that repeat it."""

    first: EventReceipt
    tries: list[EventReceipt]

    def earlier_tries(self, receipt: EventReceipt, schedule: RetrySchedule) -> list[EventReceipt]:
        """Return the tries that `receipt` may be a retry of, by its time."""
        return [each for each in self.tries if schedule.fits(receipt.received_at - each.received_at)]

    def has_body_of(self, receipt: EventReceipt) -> bool:
        """Return whether a try had the very same body, so that it was sent on twice."""
        return receipt.body_digest is not None and any(each.body_digest == receipt.body_digest for each in self.tries)


def fold(receipts: Iterable[EventReceipt], schedule: RetrySchedule) -> dict[UUID, RevisionDecision]:
    """Decide all receipts of one entity; `schedule` says when retries of a revision may arrive."""
    revisions: list[_Revision] = []
    by_event_id: dict[str | None, list[EventReceipt]] = defaultdict(list)
    decisions: dict[UUID, RevisionDecision] = {}
    for receipt in sorted(receipts, key=attrgetter("order")):
        same_id = by_event_id[receipt.provider_event_id]
        if receipt.provider_event_id is None:
            decision = _decide_by_content(receipt, revisions, schedule)
        elif any(map(receipt.adds_nothing_to, same_id)):
            decision = DUPLICATE
        else:
            decision = RevisionDecision(len(revisions) + 1, flags=(ID_REUSED,) if same_id else ())
        decisions[receipt.receipt] = decision
        if decision.revision is not None:
            revisions.append(_Revision(receipt, [receipt]))
            same_id.append(receipt)
    return decisions


def _decide_by_content(
    receipt: EventReceipt, revisions: Sequence[_Revision], schedule: RetrySchedule
) -> RevisionDecision:
    """Decide a receipt without an event id: only its content can identify a retry, and its time a late one."""
    if revisions and receipt.adds_nothing_to(revisions[-1].first):
        revisions[-1].tries.append(receipt)
        return DUPLICATE
    if receipt.is_accepted:
        return RevisionDecision(len(revisions) + 1, ACCEPTED)
    older = [revision for revision in revisions[:-1] if receipt.adds_nothing_to(revision.first)]
    is_resent = any(revision.has_body_of(receipt) for revision in older)
    earlier: list[EventReceipt] = []
    for revision in older:
        tries = revision.earlier_tries(receipt, schedule)
        earlier += tries
        if tries or revision.has_body_of(receipt):
            revision.tries.append(receipt)
    if is_resent:
        return RevisionDecision(None, LATE_RETRY)
    if earlier:
        newest = sorted(earlier, key=attrgetter("order"))[-_MAX_TRIES:]
        return RevisionDecision(None, LATE_RETRY, retry_of=tuple(each.receipt for each in newest))
    return RevisionDecision(len(revisions) + 1)
