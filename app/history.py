"""An entity's history: which of its receipts brought something new, a pure function of their order of receipt.

Whatever order receipts are processed in, folding all of them again gives the same verdicts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    verdicts: dict[UUID, Verdict] = {}
    for occurrence in sorted(occurrences, key=lambda each: each.order):
        judge = _judge_by_content if occurrence.identity is None else _judge_by_identity
        verdict = verdicts[occurrence.receipt] = judge(occurrence, versions, horizon)
        if verdict.revision is not None:
            versions.append(occurrence)
    return verdicts


def _judge_by_content(occurrence: Occurrence, versions: Sequence[Occurrence], horizon: timedelta) -> Verdict:
    """Tell a retry from a change when the provider numbers nothing."""
    if versions and occurrence.brings_nothing_new_to(versions[-1]):
        return DUPLICATE
    # Content of an older version: a retry that was overtaken by a change, or the entity really went back.
    if any(
        occurrence.received_at - version.received_at <= horizon and occurrence.brings_nothing_new_to(version)
        for version in versions[:-1]
    ):
        return Verdict(None, LATE_RETRY)
    return Verdict(len(versions) + 1)


def _judge_by_identity(occurrence: Occurrence, versions: Sequence[Occurrence], horizon: timedelta) -> Verdict:  # noqa: ARG001
    """Tell a retry from a new notification by the provider's id of it."""
    known = [version for version in versions if version.identity == occurrence.identity]
    if any(occurrence.brings_nothing_new_to(version) for version in known):
        return DUPLICATE
    return Verdict(len(versions) + 1, flags=(ID_REUSED,) if known else ())
