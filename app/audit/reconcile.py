"""Reconciliation of a sender's attempt log with the ledger.

Every attempt that was answered 200 must be in the ledger exactly once, with the provider, topic and entity it had.
"""

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from app.audit.attempt_log import DeliveryAttempt
from app.storage.connection import Connection
from app.storage.overflow import find_waiting
from app.storage.receipts import RecordedReceipt, find_recorded

COLUMNS = (
    "provider", "topic", "tries", "refused", "accepted", "stored", "duplicate", "dead", "discarded",
    "in_flight", "missing", "wrong",
)  # fmt: skip
DISCREPANCY_COLUMNS = ("receipt", "provider", "topic", "problem")
_BATCH_ATTEMPTS = 5_000
# Beyond this many unresolved attempts, memory is freed by checking which of them are missing.
_MAX_UNRESOLVED = 20_000
_POLL_SECONDS = 0.5
_MAX_DISCREPANCIES = 100

# Returns the receipts that wait in the inboxes of the given providers.
WaitingReceipts = Callable[[Collection[str]], set[UUID]]


class Reconciler:
    """Compares attempts with the ledger in batches, and waits a limited time for deliveries in flight.

    It keeps every receipt and the id of every stored event in memory: about 400 MB for a million attempts.
    `discrepancies` has rows of DISCREPANCY_COLUMNS, for the first attempts that are missing or wrong.
    """

    def __init__(self, connection: Connection, waiting: WaitingReceipts) -> None:
        self.discrepancies: list[dict[str, str | None]] = []
        self._counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._connection = connection
        self._waiting = waiting
        self._seen: set[bytes] = set()
        self._first_stored: dict[tuple[str, str], UUID] = {}
        self._stored_again: dict[tuple[str, str], dict[UUID, DeliveryAttempt]] = {}
        self._unresolved: dict[UUID, DeliveryAttempt] = {}

    def compare(self, attempts: Iterable[DeliveryAttempt]) -> Iterator[int]:
        """Compare all attempts; yield the size of each batch."""
        remaining = iter(attempts)
        while batch := list(itertools.islice(remaining, _BATCH_ATTEMPTS)):
            self._check_recorded(dict(self._accepted(batch)))
            if len(self._unresolved) > _MAX_UNRESOLVED:
                self._poll()
            yield len(batch)

    def await_in_flight(self, seconds: float) -> Iterator[int]:
        """Wait at most `seconds` for deliveries in flight; yield after each poll how many are left."""
        deadline = time.monotonic() + seconds
        while self._unresolved:
            self._poll()
            yield len(self._unresolved)
            if time.monotonic() > deadline:
                break
            if self._unresolved:
                time.sleep(_POLL_SECONDS)
        for attempt in self._unresolved.values():
            self._count(attempt, "in_flight")
        self._confirm_stored_again()

    def rows(self) -> list[dict[str, Any]]:
        """Return the counts by provider and topic as rows of COLUMNS."""
        return [
            {"provider": provider, "topic": topic} | {name: counts[name] for name in COLUMNS[2:]}
            for (provider, topic), counts in sorted(self._counts.items())
        ]

    @property
    def passed(self) -> bool:
        """Whether no attempt is missing, wrong or in flight."""
        return not any(counts[name] for counts in self._counts.values() for name in ("missing", "wrong", "in_flight"))

    def _count(self, attempt: DeliveryAttempt, name: str) -> None:
        self._counts[attempt.provider, attempt.topic][name] += 1

    def _add_discrepancy(self, attempt: DeliveryAttempt, kind: str, problem: str) -> None:
        """Count an attempt as `missing` or `wrong`, and keep the problem of the first ones."""
        self._count(attempt, kind)
        if len(self.discrepancies) < _MAX_DISCREPANCIES:
            values = attempt.receipt, attempt.provider, attempt.topic, problem
            self.discrepancies.append(dict(zip(DISCREPANCY_COLUMNS, values, strict=True)))

    def _accepted(self, batch: Iterable[DeliveryAttempt]) -> Iterator[tuple[UUID, DeliveryAttempt]]:
        """Yield the attempts whose receipts the ledger must have; count all others."""
        for attempt in batch:
            self._count(attempt, "tries")
            if attempt.status != 200:
                self._check_other_status(attempt)
                continue
            self._count(attempt, "accepted")
            receipt = _receipt(attempt)
            if not attempt.becomes:
                self._add_discrepancy(attempt, "wrong", "was accepted, and had to be rejected")
            elif receipt is None:
                self._add_discrepancy(attempt, "wrong", "was answered 200 without a receipt")
            elif receipt.bytes in self._seen:
                self._add_discrepancy(attempt, "wrong", "has the receipt of another attempt")
            else:
                self._seen.add(receipt.bytes)
                yield receipt, attempt

    def _check_other_status(self, attempt: DeliveryAttempt) -> None:
        """Check a status other than 200. A provider may take another 2xx for a 200, or give up after a 4xx."""
        if 200 < attempt.status < 300:
            problem = f"was answered {attempt.status}, which is neither a receipt nor a rejection"
            self._add_discrepancy(attempt, "wrong", problem)
        elif 400 <= attempt.status < 500 and attempt.becomes:
            self._count(attempt, "refused")

    def _poll(self) -> None:
        """Check all unresolved attempts again.

        The inboxes are read first. An entry leaves its inbox only after the ledger has it, so a receipt that is found
        in neither is missing.
        """
        providers = {attempt.provider for attempt in self._unresolved.values()}
        waiting = self._waiting(providers) | find_waiting(self._connection, self._unresolved)
        attempts, self._unresolved = self._unresolved, {}
        self._check_recorded(attempts)
        for receipt in self._unresolved.keys() - waiting:
            attempt = self._unresolved.pop(receipt)
            self._add_discrepancy(attempt, "missing", "is neither in the ledger nor in flight")

    def _check_recorded(self, attempts: Mapping[UUID, DeliveryAttempt]) -> None:
        """Check the attempts that the ledger has; the others stay unresolved."""
        recorded = find_recorded(self._connection, attempts)
        for receipt, attempt in attempts.items():
            if receipt not in recorded:
                self._unresolved[receipt] = attempt
                continue
            self._count(attempt, recorded[receipt].outcome)
            problem = _problem(attempt, recorded[receipt])
            if problem is not None:
                self._add_discrepancy(attempt, "wrong", problem)
            elif recorded[receipt].outcome == "stored" and attempt.fault != "fewer-fields":
                # An attempt with fewer fields is exempt: the full one may arrive later, and is then stored too.
                event = attempt.provider, attempt.event
                if self._first_stored.setdefault(event, receipt) != receipt:
                    self._stored_again.setdefault(event, {})[receipt] = attempt

    def _confirm_stored_again(self) -> None:
        """Check all receipts of an event in one snapshot: the first may have become a duplicate of an older one."""
        for event, later in self._stored_again.items():
            receipts = self._first_stored[event], *later
            recorded = find_recorded(self._connection, receipts)
            stored = [receipt for receipt in receipts if receipt in recorded and recorded[receipt].outcome == "stored"]
            for receipt in stored[1:]:
                problem = f"was stored, and so was another attempt of its event, {stored[0]}"
                self._add_discrepancy(later[receipt], "wrong", problem)


def _receipt(attempt: DeliveryAttempt) -> UUID | None:
    try:
        return UUID(attempt.receipt or "")
    except ValueError:
        return None


def _problem(attempt: DeliveryAttempt, recorded: RecordedReceipt) -> str | None:
    """Return how a receipt differs from its attempt, None if it does not.

    A dead letter may lack its entity. An erased receipt has none, and says nothing of what the delivery was.
    """
    for name in ("provider", "topic", "event_type", "entity_id"):
        value = getattr(recorded, name)
        may_lack = recorded.is_erased or recorded.outcome in ("dead", "discarded")
        if value != getattr(attempt, name) and not (value is None and may_lack):
            return f"is in the ledger with another {name.replace('_', ' ')}: {value}"
    was = "dead" if recorded.outcome == "discarded" else recorded.outcome
    if was not in attempt.becomes and not recorded.is_erased:
        return f"became {recorded.outcome}, not {' or '.join(attempt.becomes)}"
    return None
