"""What deliveries must come to, worked out from the words of the design; shares no code with what it judges."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

SOLARIS_HORIZON = timedelta(days=7)
# A try of Kompar follows the one before it by a wait, up to 10 s until that one failed, and up to 5 s of delay.
KOMPAR_WAITS = [30, 120, 900, 3600]
KOMPAR_SLACK, CLOCKS = 15, 2
DECISIVE = {"decisions": "accepted", "FREELANCER_CREDIT_LINE_APPLICATION": "decision"}
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
    resent: UUID | None = None  # whose very bytes it has
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
    first_received_at: datetime
    last_received_at: datetime


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
    flags: frozenset[str] = frozenset()
    for sent, outcome in rows:
        decisive = DECISIVE.get(sent.topic, "")
        if merged.get(decisive, sent.content.get(decisive)) != sent.content.get(decisive, merged.get(decisive)):
            merged, flags = {}, frozenset()
        merged, flags = merged | sent.content, flags | outcome.flags
    content = {key: value for key, value in merged.items() if value is not None}
    outcome = Outcome("stored", flags=flags)
    times = [sent.received_at for sent, _ in rows]
    return State(content, flags_of(merged, outcome), len(rows), min(times), max(times))


def _outcomes(history: list[Sent]) -> Iterator[tuple[UUID, Outcome]]:
    versions: list[list[Sent]] = []  # each: the delivery that made it, and its repetitions
    for sent in history:
        outcome = _numbered(sent, versions) if sent.identity else _unnumbered(sent, versions)
        yield sent.receipt, outcome
        if outcome.revision is not None:
            versions.append([sent])


def _numbered(sent: Sent, versions: list[list[Sent]]) -> Outcome:
    """Judge by the provider's id: known with this content, known with another, or new."""
    known = [version for version, *_ in versions if version.identity == sent.identity]
    if any(map(sent.repeats, known)):
        return Outcome("duplicate")
    return Outcome("stored", None, len(versions) + 1, frozenset({"id-reused"} if known else ()))


def _unnumbered(sent: Sent, versions: list[list[Sent]]) -> Outcome:
    """Judge by content: in the newest version, in an older one when a retry of it may come, or new."""
    repeated = [version for version in versions if sent.repeats(version[0])]
    if versions and versions[-1] in repeated:
        versions[-1].append(sent)
        return Outcome("duplicate")
    late = [version for version in repeated if any(_may_repeat(sent, old) for old in version)]
    for version in late:
        version.append(sent)
    return Outcome("duplicate", "late-retry") if late else Outcome("stored", None, len(versions) + 1)


def _may_repeat(sent: Sent, old: Sent) -> bool:
    if sent.resent is not None and sent.resent in (old.receipt, old.resent):
        return True
    seconds = (sent.received_at - old.received_at).total_seconds()
    if sent.provider == "solaris":
        return seconds <= SOLARIS_HORIZON.total_seconds()
    spans = [KOMPAR_WAITS[first:end] for end in range(5) for first in range(end)]
    return any(sum(span) - CLOCKS <= seconds <= sum(span) + len(span) * KOMPAR_SLACK for span in spans)


def _values(content: dict[str, Any]) -> set[tuple[str, str]]:
    return {(key, json.dumps(value, sort_keys=True)) for key, value in content.items()}
