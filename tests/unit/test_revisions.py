"""What once means, without a database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.domain.revisions import EventReceipt, RevisionDecision, fold

HORIZON = timedelta(hours=2)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def occurrence(number: int, minutes: float, identity: str | None = None, **digests: str) -> EventReceipt:
    return EventReceipt(UUID(int=number), NOON + timedelta(minutes=minutes), digests, identity)


def verdicts(*occurrences: EventReceipt) -> list[RevisionDecision]:
    found = fold(occurrences, HORIZON)
    return [found[each.receipt] for each in occurrences]


def test_a_repetition_is_a_duplicate() -> None:
    assert verdicts(occurrence(1, 0, a="x"), occurrence(2, 1, a="x")) == [RevisionDecision(1), RevisionDecision(None)]


def test_fewer_keys_bring_nothing_new() -> None:
    assert verdicts(occurrence(1, 0, a="x", b="y"), occurrence(2, 1, a="x"))[1] == RevisionDecision(None)


def test_a_further_key_is_a_revision() -> None:
    assert verdicts(occurrence(1, 0, a="x"), occurrence(2, 1, a="x", b="y"))[1] == RevisionDecision(2)


def test_a_retry_overtaken_by_a_change_is_a_late_retry() -> None:
    found = verdicts(occurrence(1, 0, a="x"), occurrence(2, 1, a="y"), occurrence(3, 120, a="x"))
    assert found == [RevisionDecision(1), RevisionDecision(2), RevisionDecision(None, "late-retry")]


def test_after_the_horizon_the_entity_really_went_back() -> None:
    found = verdicts(occurrence(1, 0, a="x"), occurrence(2, 1, a="y"), occurrence(3, 120.1, a="x"))
    assert found[2] == RevisionDecision(3)


def test_the_newest_version_has_no_horizon() -> None:
    assert verdicts(occurrence(1, 0, a="x"), occurrence(2, 60 * 24 * 365, a="x"))[1] == RevisionDecision(None)


def test_order_is_time_of_receipt_then_receipt_id() -> None:
    assert verdicts(occurrence(2, 0, a="x"), occurrence(1, 0, a="x")) == [RevisionDecision(None), RevisionDecision(1)]


def test_an_older_receipt_that_turns_up_late_makes_a_duplicate_a_revision() -> None:
    first, back = occurrence(1, 0, a="x"), occurrence(3, 180, a="x")
    assert verdicts(first, back) == [RevisionDecision(1), RevisionDecision(None)]
    assert verdicts(first, back, occurrence(2, 1, a="y")) == [
        RevisionDecision(1),
        RevisionDecision(3),
        RevisionDecision(2),
    ]


def test_with_an_identity_equal_content_under_another_id_is_new() -> None:
    found = verdicts(occurrence(1, 0, "wh-1", a="x"), occurrence(2, 1, "wh-2", a="x"), occurrence(3, 2, "wh-1", a="x"))
    assert found == [RevisionDecision(1), RevisionDecision(2), RevisionDecision(None)]


def test_an_identity_used_again_for_other_content_is_kept_and_flagged() -> None:
    found = verdicts(occurrence(1, 0, "wh-1", a="x"), occurrence(2, 1, "wh-1", a="y"))
    assert found[1] == RevisionDecision(2, flags=("id-reused",))
