"""What deliveries must come to, worked out from the words of the design; shares no code with what it judges."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

HORIZONS = {"kompar": timedelta(hours=2), "solaris": timedelta(days=5)}
KNOWN_PURPOSE, UNKNOWN_PURPOSE = "Övrigt", "Köpa en båt"


@dataclass
class Sent:
    """A delivery that was answered 200; `times` has one for each entry that was made of it."""

    receipt: UUID
    provider: str
    topic: str
    content: dict[str, Any]
    identity: str | None = None
    is_readable: bool = True
    times: list[datetime] = field(default_factory=list)

    @property
    def entity(self) -> tuple[str, str, str]:
        return self.provider, self.topic, self.content["application_id" if self.provider == "kompar" else "id"]

    @property
    def received_at(self) -> datetime:
        return min(self.times)

    def repeats(self, version: "Sent") -> bool:
        """Return whether every key and value of it is in `version`."""
        return _values(self.content) <= _values(version.content)


class Outcome(NamedTuple):
    name: str
    reason: str | None = None
    revision: int | None = None
    flags: frozenset[str] = frozenset()


class State(NamedTuple):
    """An entity as dashboards see it; `content` without nulls."""

    content: dict[str, Any]
    flags: list[str]
    revision: int
    received_at: datetime
    updated_at: datetime


def outcomes(sent: Iterable[Sent]) -> dict[UUID, Outcome]:
    """Return what each receipt must come to."""
    entities: dict[tuple[str, str, str], list[Sent]] = defaultdict(list)
    found = {each.receipt: Outcome("dead", "wrong-key") for each in sent if not each.is_readable}
    for each in sent:
        if each.is_readable:
            entities[each.entity].append(each)
    for history in entities.values():
        found |= _outcomes(sorted(history, key=lambda each: (each.received_at, each.receipt)))
    return found


def revisions(sent: Iterable[Sent]) -> dict[tuple[str, str, str], list[tuple[Sent, Outcome]]]:
    """Return the revisions of each entity, in order."""
    found = defaultdict(list)
    judged = outcomes(sent)
    for each in sent:
        if judged[each.receipt].revision is not None:
            found[each.entity].append((each, judged[each.receipt]))
    return {entity: sorted(rows, key=lambda row: row[1].revision or 0) for entity, rows in found.items()}


def states(sent: Iterable[Sent], topic: str) -> dict[str, State]:
    """Return the entities of a topic, merged from their revisions."""
    return {entity[2]: _state(rows) for entity, rows in revisions(sent).items() if entity[1] == topic}


def flags_of(content: dict[str, Any], outcome: Outcome) -> list[str]:
    """Return the flags of one revision."""
    doubtful = {"unknown-purpose"} if content.get("purpose") == UNKNOWN_PURPOSE else set()
    return sorted(doubtful | outcome.flags)


def _state(rows: list[tuple[Sent, Outcome]]) -> State:
    merged: dict[str, Any] = {}
    for sent, _ in rows:
        merged |= sent.content
    content = {key: value for key, value in merged.items() if value is not None}
    verdicts = Outcome("stored", flags=frozenset().union(*(outcome.flags for _, outcome in rows)))
    times = [sent.received_at for sent, _ in rows]
    return State(content, flags_of(merged, verdicts), len(rows), min(times), max(times))


def _outcomes(history: list[Sent]) -> Iterator[tuple[UUID, Outcome]]:
    versions: list[Sent] = []
    for sent in history:
        outcome = _numbered(sent, versions) if sent.identity else _unnumbered(sent, versions)
        yield sent.receipt, outcome
        if outcome.revision is not None:
            versions.append(sent)


def _numbered(sent: Sent, versions: list[Sent]) -> Outcome:
    """Judge by the provider's id: known with this content, known with another, or new."""
    known = [version for version in versions if version.identity == sent.identity]
    if any(map(sent.repeats, known)):
        return Outcome("duplicate")
    return Outcome("stored", None, len(versions) + 1, frozenset({"id-reused"} if known else ()))


def _unnumbered(sent: Sent, versions: list[Sent]) -> Outcome:
    """Judge by content: in the newest version, in an older one within the horizon, or new."""
    if versions and sent.repeats(versions[-1]):
        return Outcome("duplicate")
    horizon = HORIZONS[sent.provider]
    if any(sent.received_at - old.received_at <= horizon for old in versions if sent.repeats(old)):
        return Outcome("duplicate", "late-retry")
    return Outcome("stored", None, len(versions) + 1)


def _values(content: dict[str, Any]) -> set[tuple[str, str]]:
    return {(key, json.dumps(value, sort_keys=True)) for key, value in content.items()}
