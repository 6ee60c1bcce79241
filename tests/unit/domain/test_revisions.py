"""Duplicate, late retry or new revision, without a database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.domain.revisions import EventReceipt, RevisionDecision, fold

HORIZON = timedelta(hours=2)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def receipt(number: int, minutes: float, event_id: str | None = None, **digests: str) -> EventReceipt:
    return EventReceipt(UUID(int=number), NOON + timedelta(minutes=minutes), digests, event_id)


def decisions(*receipts: EventReceipt) -> list[RevisionDecision]:
    decided = fold(receipts, HORIZON)
    return [decided[receipt.receipt] for receipt in receipts]


def test_fold_equal_content_is_a_duplicate() -> None:
    assert decisions(receipt(1, 0, a="x"), receipt(2, 1, a="x")) == [RevisionDecision(1), RevisionDecision(None)]


def test_fold_fewer_keys_are_a_duplicate() -> None:
    assert decisions(receipt(1, 0, a="x", b="y"), receipt(2, 1, a="x"))[1] == RevisionDecision(None)


def test_fold_another_key_is_a_revision() -> None:
    assert decisions(receipt(1, 0, a="x"), receipt(2, 1, a="x", b="y"))[1] == RevisionDecision(2)


def test_fold_content_of_an_older_revision_within_the_horizon_is_a_late_retry() -> None:
    found = decisions(receipt(1, 0, a="x"), receipt(2, 1, a="y"), receipt(3, 120, a="x"))
    assert found == [RevisionDecision(1), RevisionDecision(2), RevisionDecision(None, "late-retry")]


def test_fold_content_of_an_older_revision_after_the_horizon_is_a_revision() -> None:
    found = decisions(receipt(1, 0, a="x"), receipt(2, 1, a="y"), receipt(3, 120.1, a="x"))
    assert found[2] == RevisionDecision(3)


def test_fold_content_of_the_newest_revision_is_a_duplicate_at_any_time() -> None:
    assert decisions(receipt(1, 0, a="x"), receipt(2, 60 * 24 * 365, a="x"))[1] == RevisionDecision(None)


def test_fold_orders_by_time_of_receipt_then_receipt_id() -> None:
    assert decisions(receipt(2, 0, a="x"), receipt(1, 0, a="x")) == [RevisionDecision(None), RevisionDecision(1)]


def test_fold_again_with_an_older_receipt_turns_a_duplicate_into_a_revision() -> None:
    first, back = receipt(1, 0, a="x"), receipt(3, 180, a="x")
    assert decisions(first, back) == [RevisionDecision(1), RevisionDecision(None)]
    assert decisions(first, back, receipt(2, 1, a="y")) == [
        RevisionDecision(1),
        RevisionDecision(3),
        RevisionDecision(2),
    ]


def test_fold_equal_content_under_another_event_id_is_a_revision() -> None:
    found = decisions(receipt(1, 0, "wh-1", a="x"), receipt(2, 1, "wh-2", a="x"), receipt(3, 2, "wh-1", a="x"))
    assert found == [RevisionDecision(1), RevisionDecision(2), RevisionDecision(None)]


def test_fold_other_content_under_a_known_event_id_is_a_flagged_revision() -> None:
    found = decisions(receipt(1, 0, "wh-1", a="x"), receipt(2, 1, "wh-1", a="y"))
    assert found[1] == RevisionDecision(2, flags=("id-reused",))
