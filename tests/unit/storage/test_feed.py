"""Which decisions the feed shows."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.domain.event import Entity
from app.domain.revisions import DUPLICATE, EventReceipt, RevisionDecision
from app.storage.events import Row

FIRST, SECOND = RevisionDecision(1), RevisionDecision(2)
REUSED = RevisionDecision(1, flags=("id-reused",))
LATE = RevisionDecision(None, "late-retry")
OCCURRENCE = EventReceipt(UUID(int=1), datetime(2026, 11, 1, tzinfo=UTC), {})


@pytest.mark.parametrize(
    ("before", "after", "is_shown"),
    [
        (None, FIRST, True),
        (None, DUPLICATE, False),
        (FIRST, FIRST, False),
        (FIRST, SECOND, True),
        (FIRST, REUSED, True),
        (FIRST, DUPLICATE, True),
        (DUPLICATE, FIRST, True),
        (DUPLICATE, LATE, False),
    ],
)
def test_feed_shows_what_makes_corrects_or_ends_a_revision(
    before: RevisionDecision | None, after: RevisionDecision, is_shown: bool
) -> None:
    row = Row(Entity("p", "type", "id"), OCCURRENCE, {}, {}, {}, before)
    assert row.changes_feed(after) == is_shown
