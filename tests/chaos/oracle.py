"""The oracle: compares the ledger with what was answered 200, by rules written down a second time.

It shares no code with what it checks, so `app.audit.reconcile` has no part in it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from unicodedata import normalize

from app.sandbox.hooks import Event
from app.sandbox.workload import Step
from tests.chaos.http_client import Attempt
from tests.chaos.scenarios import UNREADABLE
from tests.support.kvitto_process import Running

Entity = tuple[str, str]  # event type, entity id
_DEAD: Entity = ("", "")
# Stored masked or shortened: not compared.
_NOT_COMPARED = {"ssn", "company_id", "guarantors", "company_description"}
# Event type → view and column of the entity id. States have a row per entity, histories one per version.
_STATES = {
    "applications": ("kompar_applications", "application_id"),
    "decisions": ("kompar_decisions", "application_id"),
    "FREELANCER_CREDIT_LINE_APPLICATION": ("solaris_credit_lines", "id"),
}
_HISTORIES = {
    "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE": ("solaris_overdraft_rates", "overdraft_id"),
    "INCOMING_REJECTED_TRANSACTION": ("solaris_rejected_transactions", "account_id"),
}


@dataclass(slots=True)
class Discrepancies:
    """Deliveries or effects that are lost or doubled, and in words what else is wrong."""

    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    def add_if(self, condition: bool, text: str) -> None:
        """Add a text if the condition holds."""
        if condition:
            self.wrong.append(text)


def versions(events: Iterable[Event]) -> list[Event]:
    """Return the events of an entity, in order, that become a revision.

    One with a provider's id does unless id and content are known; one without unless a version holds all its fields.
    """
    found: list[Event] = []
    for event in events:
        known = [version for version in found if _provider_event_id(version) == _provider_event_id(event)]
        if not any(event.document.items() <= version.document.items() for version in known):
            found.append(event)
    return found


def _provider_event_id(event: Event) -> str | None:
    """Return the id that the provider sends: Kompar sends none."""
    return None if event.event_type in ("applications", "decisions") else event.id


def compare(kvitto: Running, attempts: Sequence[Attempt], first: str, name: str) -> Discrepancies:
    """Compare all deliveries since receipt id `first`; their entities' ids begin with `name`."""
    found = Discrepancies()
    answered: dict[Entity, list[Event]] = defaultdict(list)
    unanswered: Counter[Entity] = Counter()
    for attempt in attempts:
        if attempt.status == 200:
            answered[_entity(attempt.step)].append(attempt.step.event)
        else:
            unanswered[_entity(attempt.step)] += 1
    rows = kvitto.rows(
        """
        SELECT receipt::text, event_type, entity_id, outcome, reason, received_at FROM reporting.deliveries
        WHERE receipt >= %s AND erased_at IS NULL
        """,
        first,
    )
    _compare_receipts(found, attempts, rows, unanswered)
    dead = answered.pop(_DEAD, [])
    expected = {entity: versions(events) for entity, events in answered.items()}
    _compare_outcomes(found, attempts, rows, expected, len(dead))
    _compare_revisions(found, kvitto, expected, name)
    for event_type in _STATES:
        _compare_states(found, kvitto, expected, event_type, name)
    for event_type in _HISTORIES:
        _compare_histories(found, kvitto, expected, event_type, name)
    return found


def _entity(step: Step) -> Entity:
    return _DEAD if step.fault == UNREADABLE else (step.event.event_type, step.event.entity_id)


def _compare_receipts(
    found: Discrepancies, attempts: Sequence[Attempt], rows: Sequence[Mapping[str, Any]], unanswered: Counter[Entity]
) -> None:
    """Require one receipt for every 200; each further receipt must belong to an attempt without an answer."""
    given = Counter(attempt.receipt for attempt in attempts if attempt.receipt is not None)
    stored = Counter(row["receipt"] for row in rows)
    found.lost += len(given.keys() - stored.keys())
    found.doubled += sum(count - 1 for count in given.values())
    found.doubled += sum(count - 1 for count in stored.values())
    others = Counter((row["event_type"] or "", row["entity_id"] or "") for row in rows if row["receipt"] not in given)
    for entity, count in others.items():
        found.add_if(count > unanswered[entity], f"{count - unanswered[entity]} in the ledger that were not sent")


def _compare_outcomes(
    found: Discrepancies,
    attempts: Sequence[Attempt],
    rows: Sequence[Mapping[str, Any]],
    expected: Mapping[Entity, list[Event]],
    dead: int,
) -> None:
    """Require a dead letter for what cannot be opened, and for nothing else."""
    dead_letters = [row for row in rows if row["outcome"] == "dead"]
    found.add_if(len(dead_letters) < dead, f"{dead - len(dead_letters)} dead letters are missing")
    valid = sum(row["entity_id"] is not None for row in dead_letters)
    found.add_if(valid > 0, f"{valid} valid deliveries are dead letters")
    stored = Counter((row["event_type"], row["entity_id"]) for row in rows if row["outcome"] == "stored")
    by_receipt = {row["receipt"]: row for row in rows}
    for entity, events in expected.items():
        if stored[entity] != len(events):
            receipts = [attempt.receipt for attempt in attempts if _entity(attempt.step) == entity]
            became = [_became(receipt, by_receipt.get(receipt or "")) for receipt in receipts]
            found.wrong.append(
                f"{entity}: {stored[entity]} receipts stored instead of {len(events)}: {', '.join(became)}"
            )


def _became(receipt: str | None, row: Mapping[str, Any] | None) -> str:
    if row is None:
        return f"{receipt} is not in the ledger"
    return f"{receipt} is {row['outcome']} ({row['reason']}), received at {row['received_at']}"


def _compare_revisions(
    found: Discrepancies, kvitto: Running, expected: Mapping[Entity, list[Event]], name: str
) -> None:
    """Require every version as one revision, in order, with the content that was sent."""
    revisions: dict[Entity, list[Mapping[str, Any]]] = defaultdict(list)
    rows = kvitto.rows(
        """
        SELECT event_type, entity_id, revision, content - 'company_description' AS content FROM reporting.events
        WHERE starts_with(entity_id, %s) ORDER BY revision
        """,
        f"{name}/",
    )
    for row in rows:
        revisions[row["event_type"], row["entity_id"]].append(row)
    found.doubled += sum(len(rows) for entity, rows in revisions.items() if entity not in expected)
    for entity, events in expected.items():
        contents = [row["content"] for row in revisions[entity]]
        found.lost += max(0, len(events) - len(contents))
        found.doubled += max(0, len(contents) - len(events))
        differ = any(not _agree(*pair) for pair in zip(events, contents, strict=False))
        found.add_if(differ, f"{entity}: content differs from what was sent")
        numbers = [row["revision"] for row in revisions[entity]]
        found.add_if(numbers != list(range(1, len(numbers) + 1)), f"{entity}: revisions {numbers}")


def _agree(event: Event, content: Mapping[str, Any]) -> bool:
    compared = event.document.keys() - _NOT_COMPARED
    return {key: event.document[key] for key in compared} == {key: content.get(key) for key in compared}


def _compare_states(
    found: Discrepancies, kvitto: Running, expected: Mapping[Entity, list[Event]], event_type: str, name: str
) -> None:
    """Require one row of current state: the versions merged, later keys winning."""
    view, column = _STATES[event_type]
    rows = kvitto.rows(f"SELECT * FROM reporting.{view} WHERE starts_with({column}, %s)", f"{name}/")
    states = {row[column]: row for row in rows}
    found.doubled += len(rows) - len(states)
    for (kind, entity_id), events in expected.items():
        if kind != event_type:
            continue
        row = states.pop(entity_id, {"revision": 0})
        merged = {key: value for event in events for key, value in event.document.items()}
        compared = merged.keys() & row.keys() - _NOT_COMPARED
        found.add_if(row["revision"] != len(events), f"{view} {entity_id}: revision {row['revision']}")
        differing = sorted(key for key in compared if _as_column(merged[key]) != _as_column(row[key]))
        found.add_if(bool(differing), f"{view} {entity_id}: differs in {differing}")
    found.add_if(bool(states), f"{view}: {len(states)} rows of what was not sent")


def _as_column(value: object) -> object:
    """Return a value as columns hold it: a text in NFC, a number as it is written."""
    if isinstance(value, float):
        return Decimal(str(value))
    return normalize("NFC", value) if isinstance(value, str) else value


def _compare_histories(
    found: Discrepancies, kvitto: Running, expected: Mapping[Entity, list[Event]], event_type: str, name: str
) -> None:
    """Require one row for every version."""
    view, column = _HISTORIES[event_type]
    query = f"SELECT {column} AS entity FROM reporting.{view} WHERE starts_with({column}, %s)"
    stored = Counter(row["entity"] for row in kvitto.rows(query, f"{name}/"))
    wanted = {entity_id: len(events) for (kind, entity_id), events in expected.items() if kind == event_type}
    for entity_id in wanted.keys() | stored.keys():
        surplus = stored[entity_id] - wanted.get(entity_id, 0)
        found.add_if(surplus != 0, f"{view} {entity_id}: {surplus:+} rows")
