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
class Occurrence:
    """One valid receipt of an entity; `digests` and `identity` as in Event."""

    receipt: UUID
    received_at: datetime
    digests: Mapping[str, str]
    identity: str | None = None

    @property
    def order(self) -> tuple[datetime, UUID]:
        """Time of receipt, then receipt id."""
        return self.received_at, self.receipt

    def brings_nothing_new_to(self, version: "Occurrence") -> bool:
        """Tell whether every key and value is in `version` already. Absent differs from null."""
        return self.digests.items() <= version.digests.items()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receipt came to: a revision (counted from 1), or None for a duplicate, with the reason if it needs one."""

    revision: int | None
    reason: str | None = None
    flags: tuple[str, ...] = ()


DUPLICATE = Verdict(None)


def fold(occurrences: Iterable[Occurrence], horizon: timedelta) -> dict[UUID, Verdict]:
    """Judge an entity's receipts in order of receipt; `horizon` is how long retries of a version may arrive."""
    versions: list[Occurrence] = []
    known: dict[str, list[Occurrence]] = defaultdict(list)
    verdicts: dict[UUID, Verdict] = {}
    for occurrence in sorted(occurrences, key=lambda each: each.order):
        if occurrence.identity is None:
            verdict = _judge_by_content(occurrence, versions, horizon)
        else:
            verdict = _judge_by_identity(occurrence, known[occurrence.identity], len(versions) + 1)
        verdicts[occurrence.receipt] = verdict
        if verdict.revision is not None:
            versions.append(occurrence)
            if occurrence.identity is not None:
                known[occurrence.identity].append(occurrence)
    return verdicts


def _judge_by_content(occurrence: Occurrence, versions: Sequence[Occurrence], horizon: timedelta) -> Verdict:
    """Tell a retry from a change when the provider numbers nothing."""
    if versions and occurrence.brings_nothing_new_to(versions[-1]):
        return DUPLICATE
    # Content of an older version: a retry that was overtaken by a change, or the entity really went back.
    if any(map(occurrence.brings_nothing_new_to, _recent(versions, occurrence.received_at - horizon))):
        return Verdict(None, LATE_RETRY)
    return Verdict(len(versions) + 1)


def _recent(versions: Sequence[Occurrence], since: datetime) -> Iterator[Occurrence]:
    """Return the versions before the newest, back to a time."""
    return takewhile(lambda version: version.received_at >= since, islice(reversed(versions), 1, None))


def _judge_by_identity(occurrence: Occurrence, known: Sequence[Occurrence], revision: int) -> Verdict:
    """Tell a retry from a new notification by the provider's id of it; `known` are the versions under that id."""
    if any(map(occurrence.brings_nothing_new_to, known)):
        return DUPLICATE
    return Verdict(revision, flags=(ID_REUSED,) if known else ())
