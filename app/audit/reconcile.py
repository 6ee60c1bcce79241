"""A sender's record against the ledger: every try that was answered 200 is there, once, as what it was sent as."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.audit.attempt_log import DeliveryAttempt
from app.storage import lookups
from app.storage.connection import Connection
from app.storage.lookups import RecordedReceipt

COLUMNS = (
    "provider", "topic", "tries", "refused", "accepted", "stored", "duplicate", "dead", "in_flight", "missing", "wrong",
)  # fmt: skip
FINDING_COLUMNS = ("receipt", "provider", "topic", "problem")
_BATCH = 5_000
_UNSETTLED = 20_000
_LOOK_SECONDS = 0.5
# Where wrong tries are many, the first tell enough.
_FINDINGS = 100

# Returns the receipts that wait in the inboxes of providers.
Waiting = Callable[[Collection[str]], set[UUID]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A try that is missing from the ledger, or not there as it must be."""

    receipt: str | None
    provider: str
    topic: str
    problem: str


@dataclass(slots=True)
class Comparison:
    """What comparing comes to: counts by provider and topic, and the first that are missing or wrong."""

    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def count(self, each: DeliveryAttempt, *names: str) -> None:
        """Count a try under these names."""
        self.counts.setdefault((each.provider, each.topic), Counter()).update(names)

    def add_finding(self, each: DeliveryAttempt, kind: str, problem: str) -> None:
        """Count a try as missing or wrong, and keep why."""
        self.count(each, kind)
        if len(self.findings) < _FINDINGS:
            self.findings.append(Finding(each.receipt, each.provider, each.topic, problem))

    def rows(self) -> list[dict[str, Any]]:
        """Return the counts as rows to print."""
        return [
            {"provider": provider, "topic": topic} | {name: self.counts[provider, topic][name] for name in COLUMNS[2:]}
            for provider, topic in sorted(self.counts)
        ]

    @property
    def sound(self) -> bool:
        """Whether nothing is missing or wrong, and nothing waits still."""
        return not any(count[name] for count in self.counts.values() for name in ("missing", "wrong", "in_flight"))


class Reconciler:
    """Compares tries with the ledger, batch by batch; what is in flight is waited for, but not for ever.

    Held in memory are every receipt and every stored event, by its id: about 400 MB for a million.
    """

    def __init__(self, connection: Connection, waiting: Waiting) -> None:
        self.comparison = Comparison()
        self._connection = connection
        self._waiting = waiting
        self._seen: set[bytes] = set()
        self._stored: dict[tuple[str, str], UUID] = {}
        self._repeated: dict[tuple[str, str], dict[UUID, DeliveryAttempt]] = {}
        self._unsettled: dict[UUID, DeliveryAttempt] = {}

    @property
    def in_flight(self) -> int:
        """How many accepted tries are not in the ledger yet."""
        return len(self._unsettled)

    def compare(self, tries: Iterable[DeliveryAttempt]) -> Iterator[int]:
        """Compare all tries; yield how many each batch had."""
        each = iter(tries)
        while batch := list(itertools.islice(each, _BATCH)):
            accepted = dict(self._accepted(batch))
            self._settle(accepted, lookups.recorded(self._connection, accepted))
            if len(self._unsettled) > _UNSETTLED:  # what is missing need not be kept in mind
                self._look()
            yield len(batch)

    def await_in_flight(self, seconds: float) -> Iterator[int]:
        """Wait for what is in flight, for so many seconds at most; yield how many are left after each look."""
        deadline = time.monotonic() + seconds
        while self._unsettled:
            self._look()
            yield len(self._unsettled)
            if time.monotonic() > deadline:
                break
            if self._unsettled:
                time.sleep(_LOOK_SECONDS)
        for each in self._unsettled.values():
            self.comparison.count(each, "in_flight")
        self._confirm_repeated()

    def _accepted(self, batch: Iterable[DeliveryAttempt]) -> Iterator[tuple[UUID, DeliveryAttempt]]:
        """Return the tries whose receipts the ledger must have; the others are judged at once."""
        for each in batch:
            self.comparison.count(each, "tries")
            if each.status != 200:
                self._judge_answer(each)
                continue
            self.comparison.count(each, "accepted")
            receipt = _receipt(each)
            if not each.becomes:
                self.comparison.add_finding(each, "wrong", "was accepted, and had to be refused")
            elif receipt is None:
                self.comparison.add_finding(each, "wrong", "was answered 200 without a receipt")
            elif receipt.bytes in self._seen:
                self.comparison.add_finding(each, "wrong", "has a receipt that another try was given, too")
            else:
                self._seen.add(receipt.bytes)
                yield receipt, each

    def _judge_answer(self, each: DeliveryAttempt) -> None:
        """Judge what is no 200: no receipt is due, but a provider may take another 2xx for one, or give up on a 4xx."""
        if 200 < each.status < 300:
            self.comparison.add_finding(
                each, "wrong", f"was answered {each.status}, which is no receipt and no refusal"
            )
        elif 400 <= each.status < 500 and each.becomes:
            self.comparison.count(each, "refused")

    def _look(self) -> None:
        """Look again for what was not in the ledger.

        Inboxes first: an entry leaves them after it has come into the ledger, so who is in neither is missing.
        """
        providers = {each.provider for each in self._unsettled.values()}
        waiting = self._waiting(providers) | lookups.waiting(self._connection, self._unsettled)
        before, self._unsettled = self._unsettled, {}
        self._settle(before, lookups.recorded(self._connection, before))
        for receipt in self._unsettled.keys() - waiting:
            self.comparison.add_finding(
                self._unsettled.pop(receipt), "missing", "is not in the ledger, and does not wait"
            )

    def _settle(self, accepted: Mapping[UUID, DeliveryAttempt], noted: Mapping[UUID, RecordedReceipt]) -> None:
        for receipt, each in accepted.items():
            if receipt in noted:
                self._judge(receipt, each, noted[receipt])
            else:
                self._unsettled[receipt] = each

    def _judge(self, receipt: UUID, each: DeliveryAttempt, noted: RecordedReceipt) -> None:
        self.comparison.count(each, noted.outcome)
        problem = _problem(each, noted)
        if problem is not None:
            self.comparison.add_finding(each, "wrong", problem)
        elif noted.outcome == "stored" and each.fault != "fewer-fields":  # the fuller one may come later, as news
            event = each.provider, each.event
            if self._stored.setdefault(event, receipt) != receipt:
                self._repeated.setdefault(event, {})[receipt] = each

    def _confirm_repeated(self) -> None:
        """Look at all of an event in one snapshot: an older receipt may have taken the place of the first meanwhile."""
        for event, later in self._repeated.items():
            receipts = self._stored[event], *later
            noted = lookups.recorded(self._connection, receipts)
            stored = [each for each in receipts if each in noted and noted[each].outcome == "stored"]
            for receipt in stored[1:]:
                problem = f"was stored, and so was another try of its event, {stored[0]}"
                self.comparison.add_finding(later[receipt], "wrong", problem)


def _receipt(each: DeliveryAttempt) -> UUID | None:
    try:
        return UUID(each.receipt or "")
    except ValueError:
        return None


def _problem(each: DeliveryAttempt, noted: RecordedReceipt) -> str | None:
    """Return what is wrong with a receipt, if anything; of a dead letter the entity need not be known."""
    sent = {"provider": each.provider, "topic": each.topic, "event_type": each.event_type, "entity_id": each.entity_id}
    for name, value in sent.items():
        found = getattr(noted, name)
        if found != value and not (found is None and noted.outcome == "dead"):
            return f"is in the ledger with another {name.replace('_', ' ')}: {found}"
    if noted.outcome not in each.becomes:
        return f"became {noted.outcome}, not {' or '.join(each.becomes)}"
    return None
