"""An event: the business fact that a valid delivery states."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from app.domain.retries import RetrySchedule
from app.domain.schema_drift import Undeclared

Content = Mapping[str, Any]
# Top-level key of the stored content → its flags.
FieldFlags = Mapping[str, list[str]]
# Key → (flag, whether a value passes), in order.
Checks = Mapping[str, list[tuple[str, Callable[[Any], bool]]]]


class Entity(NamedTuple):
    """The thing that an event is about."""

    provider: str
    event_type: str
    entity_id: str


@dataclass(frozen=True, slots=True)
class Projection:
    """The table in which dashboards read an event type.

    A `state` table has one row per entity, from its merged revisions; a `history` table has one row per revision.
    `row` maps content to columns. Storage fills the columns that it knows: entity_id, the event's pseudonyms, flags,
    revision, first_received_at and last_received_at; in a `history` table received_at, the receipt and the provider's
    event id.

    decisive: a key that starts a state over. A revision that changes its value replaces the state; every other
    revision is merged into it.
    """

    name: str
    kind: Literal["state", "history"]
    row: Callable[[Content], dict[str, Any]]
    decisive: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """The content of a valid delivery in the form that is stored: national ids masked, files reduced to hashes.

    digests: top-level key → keyed hash of its clear value. They identify repeated content.
    schedule: when retries may arrive.
    projection: the table of its type, if there is one.
    field_flags: the quality flags of its top-level keys.
    provider_event_id: the provider's own id of the event, if it sends one.
    body_digest: digest of the body, if no two tries have the same body: it shows that a body was sent on twice.
    pseudonyms: column → keyed pseudonym of a person or company; None if the content holds no usable number.
    persons: keyed pseudonyms of all persons whose national ids are masked in the content, whatever their role.
    undeclared: what the content holds that the provider's schema does not declare.
    """

    entity: Entity
    content: Content
    digests: Mapping[str, str]
    schedule: RetrySchedule
    projection: Projection | None
    field_flags: FieldFlags = field(default_factory=dict)
    provider_event_id: str | None = None
    body_digest: str | None = None
    pseudonyms: Mapping[str, str | None] = field(default_factory=dict)
    persons: frozenset[str] = frozenset()
    undeclared: tuple[Undeclared, ...] = ()


def field_flags(content: Content, checks: Checks, misfits: Collection[str] = ()) -> FieldFlags:
    """Return the flags of the keys of clear `content`. Null passes every check.

    `misfits` are the keys whose values do not fit their columns: each is flagged `invalid-<key>`, and not checked.
    """
    flags = {key: [f"invalid-{key}"] for key in misfits}
    for key, rules in checks.items():
        if content.get(key) is not None and key not in flags:
            found = [flag for flag, passes in rules if not passes(content[key])]
            flags |= {key: found} if found else {}
    return flags


def all_flags(flags_by_key: FieldFlags) -> list[str]:
    """Return every flag once, sorted."""
    return sorted({flag for flags in flags_by_key.values() for flag in flags})
