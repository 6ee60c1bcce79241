"""An entity's history: which of its receipts brought something new, a pure function of their order of receipt.

Whatever order receipts are processed in, folding all of them again gives the same verdicts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
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
        """Time of receipt, then receipt id."""
        return self.received_at, self.receipt

    def brings_nothing_new_to(self, version: "EventReceipt") -> bool:
        """Tell whether every key and value is in `version` already. Absent differs from null."""
        return self.digests.items() <= version.digests.items()


@dataclass(frozen=True, slots=True)
class RevisionDecision:
    """What a receipt came to: a revision (counted from 1), or None for a duplicate, with the reason if it needs one."""

    revision: int | None
    reason: str | None = None
    flags: tuple[str, ...] = ()


DUPLICATE = RevisionDecision(None)


def fold(occurrences: Iterable[EventReceipt], horizon: timedelta) -> dict[UUID, RevisionDecision]:
    """Judge an entity's receipts in order of receipt; `horizon` is how long retries of a version may arrive."""
    versions: list[EventReceipt] = []
    known: dict[str, list[EventReceipt]] = defaultdict(list)
    verdicts: dict[UUID, RevisionDecision] = {}
    for occurrence in sorted(occurrences, key=lambda each: each.order):
        if occurrence.provider_event_id is None:
            verdict = _decide_by_content(occurrence, versions, horizon)
        else:
            verdict = _decide_by_event_id(occurrence, known[occurrence.provider_event_id], len(versions) + 1)
        verdicts[occurrence.receipt] = verdict
        if verdict.revision is not None:
            versions.append(occurrence)
            if occurrence.provider_event_id is not None:
                known[occurrence.provider_event_id].append(occurrence)
    return verdicts


def _decide_by_content(
    occurrence: EventReceipt, versions: Sequence[EventReceipt], horizon: timedelta
) -> RevisionDecision:
    """Tell a retry from a change when the provider numbers nothing."""
    if versions and occurrence.brings_nothing_new_to(versions[-1]):
        return DUPLICATE
    # Content of an older version: a retry that was overtaken by a change, or the entity really went back.
    if any(map(occurrence.brings_nothing_new_to, _recent(versions, occurrence.received_at - horizon))):
        return RevisionDecision(None, LATE_RETRY)
    return RevisionDecision(len(versions) + 1)


def _recent(versions: Sequence[EventReceipt], since: datetime) -> Iterator[EventReceipt]:
    """Return the versions before the newest, back to a time."""
    return takewhile(lambda version: version.received_at >= since, islice(reversed(versions), 1, None))


def _decide_by_event_id(occurrence: EventReceipt, known: Sequence[EventReceipt], revision: int) -> RevisionDecision:
    """Tell a retry from a new notification by the provider's id of it; `known` are the versions under that id."""
    if any(map(occurrence.brings_nothing_new_to, known)):
        return DUPLICATE
    return RevisionDecision(revision, flags=(ID_REUSED,) if known else ())
