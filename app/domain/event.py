"""An event: the business fact that a valid delivery states."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NamedTuple

Content = Mapping[str, Any]
# Checked key → flags, an empty list where its value passed.
FieldFlags = Mapping[str, list[str]]
# Key → (flag, whether its value passes), tried in order.
Checks = Mapping[str, list[tuple[str, Callable[[Any], bool]]]]


class Entity(NamedTuple):
    """What an event is about."""

    provider: str
    event_type: str
    entity_id: str


@dataclass(frozen=True, slots=True)
class Projection:
    """Where an event type's content is laid out in columns for dashboards.

    `state` holds one row per entity, from its merged revisions; `history` one row per revision.
    `row` turns content into the table's columns, and leaves out those that storage fills for every
    table alike: entity_id, flags, revision, received_at, updated_at; of a history also receipt and provider_event_id.
    """

    name: str
    kind: Literal["state", "history"]
    row: Callable[[Content], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Event:
    """A valid delivery's content, fit to be kept: national ids masked, files reduced to hashes.

    digests: top-level key → keyed hash of its clear value; what a repetition is recognised by.
    field_flags: what is doubtful, by top-level key.
    provider_event_id: the provider's own id of the notification, if it sends one.
    horizon: how long after a version's receipt its retries may still arrive.
    table: where it is laid out, if its type has a table.
    """

    entity: Entity
    content: Content
    digests: Mapping[str, str]
    horizon: timedelta
    projection: Projection | None
    field_flags: FieldFlags = field(default_factory=dict)
    provider_event_id: str | None = None


def field_flags(content: Content, checks: Checks) -> FieldFlags:
    """Return each checked key of a valid content with its flags, none where it passed or is null."""
    return {
        key: [] if content[key] is None else [flag for flag, passes in found if not passes(content[key])]
        for key, found in checks.items()
        if key in content
    }


def all_flags(doubts: FieldFlags) -> list[str]:
    """Return the flags among `doubts`, each once, sorted."""
    return sorted({flag for flags in doubts.values() for flag in flags})
