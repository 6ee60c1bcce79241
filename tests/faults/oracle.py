"""The verdict: what the ledger holds against what was answered 200, by rules written down a second time.

It shares no code with what it judges.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.http_client import Try
from tests.faults.scenarios import Event
from tests.kvitto_process import Running

Entity = tuple[str, str]  # event type, entity id
_DEAD: Entity = ("", "")
# Kept masked or shortened: not compared.
_NOT_COMPARED = {"ssn", "company_id", "guarantors", "company_description"}
# Event type → view, column of the entity id, and whether it has a row per entity or one per version.
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
class Verdict:
    """What is amiss: deliveries or effects lost, or there more than once, and in words what else."""

    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    def find(self, amiss: bool, text: str) -> None:
        """Note it if it is so."""
        if amiss:
            self.wrong.append(text)


def versions(events: Iterable[Event]) -> list[Event]:
    """Return those of an entity's events, in order, that say something new.

    Numbered ones do unless number and content are known; others do unless a version holds every key and value.
    """
    found: list[Event] = []
    for event in events:
        known = [version for version in found if version.webhook_id == event.webhook_id]
        if not any(event.document.items() <= version.document.items() for version in known):
            found.append(event)
    return found


def judge(kvitto: Running, tries: Sequence[Try], first: str, name: str) -> Verdict:
    """Judge all deliveries since receipt id `first`; their entities' ids begin with `name`."""
    verdict = Verdict()
    answered: dict[Entity, list[Event]] = defaultdict(list)
    unanswered: Counter[Entity] = Counter()
    for each in tries:
        if each.status == 200:
            answered[_entity(each.event)].append(each.event)
        else:
            unanswered[_entity(each.event)] += 1
    rows = kvitto.rows(
        "SELECT receipt::text, event_type, entity_id, outcome FROM reporting.deliveries WHERE receipt >= %s", first
    )
    _judge_receipts(verdict, tries, rows, unanswered)
    dead = answered.pop(_DEAD, [])
    _judge_outcomes(verdict, rows, answered, len(dead))
    expected = {entity: versions(events) for entity, events in answered.items()}
    _judge_revisions(verdict, kvitto, expected, name)
    for event_type in _STATES:
        _judge_states(verdict, kvitto, expected, event_type, name)
    for event_type in _HISTORIES:
        _judge_histories(verdict, kvitto, expected, event_type, name)
    return verdict


def _entity(event: Event) -> Entity:
    return (event.event_type, event.entity_id) if event.opens else _DEAD


def _judge_receipts(
    verdict: Verdict, tries: Sequence[Try], rows: Sequence[Mapping[str, Any]], unanswered: Counter[Entity]
) -> None:
    """Every 200 has one receipt of its own; what has a receipt beside them is a try that got no answer."""
    given = Counter(each.receipt for each in tries if each.receipt is not None)
    held = Counter(row["receipt"] for row in rows)
    verdict.lost += len(given.keys() - held.keys())
    verdict.doubled += sum(count - 1 for count in given.values())
    verdict.doubled += sum(count - 1 for count in held.values())
    others = Counter((row["event_type"] or "", row["entity_id"] or "") for row in rows if row["receipt"] not in given)
    for entity, count in others.items():
        verdict.find(count > unanswered[entity], f"{count - unanswered[entity]} in the ledger that were not sent")


def _judge_outcomes(
    verdict: Verdict, rows: Sequence[Mapping[str, Any]], answered: Mapping[Entity, list[Event]], dead: int
) -> None:
    """What can be opened is no dead letter, what cannot is one."""
    unopened = sum(row["outcome"] == "dead" for row in rows)
    verdict.find(unopened < dead, f"{dead - unopened} dead letters are missing")
    wrongly = sum(row["outcome"] == "dead" and row["entity_id"] is not None for row in rows)
    verdict.find(wrongly > 0, f"{wrongly} valid deliveries are dead letters")
    stored = Counter((row["event_type"], row["entity_id"]) for row in rows if row["outcome"] == "stored")
    for entity, events in answered.items():
        count = len(versions(events))
        verdict.find(stored[entity] != count, f"{entity}: {stored[entity]} receipts stored instead of {count}")


def _judge_revisions(verdict: Verdict, kvitto: Running, expected: Mapping[Entity, list[Event]], name: str) -> None:
    """Every version is a revision, in order, once, with the content that was sent."""
    found: dict[Entity, list[Mapping[str, Any]]] = defaultdict(list)
    rows = kvitto.rows(
        """
        SELECT event_type, entity_id, revision, content - 'company_description' AS content FROM reporting.events
        WHERE starts_with(entity_id, %s) ORDER BY revision
        """,
        f"{name}/",
    )
    for row in rows:
        found[row["event_type"], row["entity_id"]].append(row)
    verdict.doubled += sum(len(rows) for entity, rows in found.items() if entity not in expected)
    for entity, events in expected.items():
        contents = [row["content"] for row in found[entity]]
        verdict.lost += max(0, len(events) - len(contents))
        verdict.doubled += max(0, len(contents) - len(events))
        differ = any(not _agree(*pair) for pair in zip(events, contents, strict=False))
        verdict.find(differ, f"{entity}: content differs from what was sent")
        numbers = [row["revision"] for row in found[entity]]
        verdict.find(numbers != list(range(1, len(numbers) + 1)), f"{entity}: revisions {numbers}")


def _agree(event: Event, content: Mapping[str, Any]) -> bool:
    compared = event.document.keys() - _NOT_COMPARED
    return {key: event.document[key] for key in compared} == {key: content.get(key) for key in compared}


def _judge_states(
    verdict: Verdict, kvitto: Running, expected: Mapping[Entity, list[Event]], event_type: str, name: str
) -> None:
    """Current state is one row: the versions merged, later keys winning."""
    view, column = _STATES[event_type]
    rows = kvitto.rows(f"SELECT * FROM reporting.{view} WHERE starts_with({column}, %s)", f"{name}/")
    found = {row[column]: row for row in rows}
    verdict.doubled += len(rows) - len(found)
    for (kind, entity_id), events in expected.items():
        if kind != event_type:
            continue
        row = found.pop(entity_id, {"revision": 0})
        merged = {key: value for event in events for key, value in event.document.items()}
        compared = merged.keys() & row.keys() - _NOT_COMPARED
        verdict.find(row["revision"] != len(events), f"{view} {entity_id}: revision {row['revision']}")
        differing = sorted(key for key in compared if merged[key] != row[key])
        verdict.find(bool(differing), f"{view} {entity_id}: differs in {differing}")
    verdict.find(bool(found), f"{view}: {len(found)} rows of what was not sent")


def _judge_histories(
    verdict: Verdict, kvitto: Running, expected: Mapping[Entity, list[Event]], event_type: str, name: str
) -> None:
    """Every version is a row."""
    view, column = _HISTORIES[event_type]
    query = f"SELECT {column} AS entity FROM reporting.{view} WHERE starts_with({column}, %s)"
    found = Counter(row["entity"] for row in kvitto.rows(query, f"{name}/"))
    wanted = {entity_id: len(events) for (kind, entity_id), events in expected.items() if kind == event_type}
    for entity_id in wanted.keys() | found.keys():
        surplus = found[entity_id] - wanted.get(entity_id, 0)
        verdict.find(surplus != 0, f"{view} {entity_id}: {surplus:+} rows")
