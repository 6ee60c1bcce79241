"""Duplicate, late retry or new revision, without a database."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.retries import RetrySchedule
from app.domain.revisions import EventReceipt, RevisionDecision, fold

WAITS = (30, 120, 900, 3600)
SCHEDULE = RetrySchedule.of_waits([timedelta(seconds=wait) for wait in WAITS], timedelta(seconds=10))
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
STORED = [RevisionDecision(number) for number in range(4)]


def receipt(number: int, seconds: float, event_id: str | None = None, **digests: str) -> EventReceipt:
    return EventReceipt(UUID(int=number), NOON + timedelta(seconds=seconds), digests, event_id)


def encrypted(number: int, seconds: float, body: str, accepted: bool = False, **digests: str) -> EventReceipt:
    return EventReceipt(UUID(int=number), NOON + timedelta(seconds=seconds), digests, None, body, accepted)


def late_retry(*tries: int) -> RevisionDecision:
    return RevisionDecision(None, "late-retry", retry_of=tuple(UUID(int=number) for number in tries))


def decisions(*receipts: EventReceipt) -> list[RevisionDecision]:
    decided = fold(receipts, SCHEDULE)
    return [decided[receipt.receipt] for receipt in receipts]


def test_fold_equal_content_is_a_duplicate() -> None:
    assert decisions(receipt(1, 0, a="x"), receipt(2, 60, a="x")) == [STORED[1], RevisionDecision(None)]


def test_fold_fewer_keys_are_a_duplicate() -> None:
    assert decisions(receipt(1, 0, a="x", b="y"), receipt(2, 60, a="x"))[1] == RevisionDecision(None)


def test_fold_another_key_is_a_revision() -> None:
    assert decisions(receipt(1, 0, a="x"), receipt(2, 60, a="x", b="y"))[1] == STORED[2]


@pytest.mark.parametrize("seconds", [30, 44, 120, 150, 175, 900, 1050, 3600, 4530, 4650, 4700])
def test_fold_content_of_an_older_revision_at_a_time_of_the_schedule_is_a_late_retry(seconds: float) -> None:
    found = decisions(receipt(1, 0, a="x"), receipt(2, 1, a="y"), receipt(3, seconds, a="x"))
    assert found == [STORED[1], STORED[2], late_retry(1)]


@pytest.mark.parametrize("seconds", [5, 20, 60, 300, 600, 1200, 3000, 7000, 86_400])
def test_fold_content_of_an_older_revision_at_another_time_is_a_revision(seconds: float) -> None:
    assert decisions(receipt(1, 0, a="x"), receipt(2, 1, a="y"), receipt(3, seconds, a="x"))[2] == STORED[3]


def test_fold_a_change_back_within_two_hours_is_the_last_word() -> None:
    decided = decisions(receipt(1, 0, accepted="no"), receipt(2, 1800, accepted="yes"), receipt(3, 7000, accepted="no"))
    assert decided == STORED[1:]


def test_fold_late_retry_may_follow_any_try_of_its_revision() -> None:
    found = decisions(receipt(1, 0, a="x"), receipt(2, 600, a="x"), receipt(3, 601, a="y"), receipt(4, 720, a="x"))
    assert found[3] == late_retry(2)


def test_fold_late_retry_with_fewer_keys_is_recognised() -> None:
    found = decisions(receipt(1, 0, a="x", b="y"), receipt(2, 1, a="y"), receipt(3, 31, a="x"))
    assert found[2] == late_retry(1)


def test_fold_the_very_same_encrypted_body_is_a_duplicate_at_any_time() -> None:
    first, changed, again = encrypted(1, 0, "p", a="x"), encrypted(2, 1, "q", a="y"), encrypted(3, 9e6, "p", a="x")
    assert decisions(first, changed, again)[2] == RevisionDecision(None, "late-retry")


def test_fold_the_body_of_a_repetition_is_known_too() -> None:
    receipts = [encrypted(1, 0, "p", a="x"), encrypted(2, 500, "r", a="x"), encrypted(3, 501, "q", a="y")]
    assert decisions(*receipts, encrypted(4, 9e6, "r", a="x"))[3] == RevisionDecision(None, "late-retry")


def test_fold_an_accepted_late_retry_is_a_revision() -> None:
    first, changed, back = encrypted(1, 0, "p", a="x"), encrypted(2, 1, "q", a="y"), encrypted(3, 30, "r", True, a="x")
    assert decisions(first, changed, back)[2] == RevisionDecision(3, "accepted-by-operator")
    assert decisions(first, changed, back, encrypted(4, 31, "s", a="x"))[3] == RevisionDecision(None)


def test_fold_content_of_the_newest_revision_is_a_duplicate_at_any_time() -> None:
    assert decisions(receipt(1, 0, a="x"), receipt(2, 365 * 86_400, a="x"))[1] == RevisionDecision(None)


def test_fold_orders_by_time_of_receipt_then_receipt_id() -> None:
    assert decisions(receipt(2, 0, a="x"), receipt(1, 0, a="x")) == [RevisionDecision(None), STORED[1]]


def test_fold_again_with_an_older_receipt_turns_a_duplicate_into_a_revision() -> None:
    first, back = receipt(1, 0, a="x"), receipt(3, 10_800, a="x")
    assert decisions(first, back) == [STORED[1], RevisionDecision(None)]
    assert decisions(first, back, receipt(2, 60, a="y")) == [STORED[1], STORED[3], STORED[2]]


def test_fold_equal_content_under_another_event_id_is_a_revision() -> None:
    found = decisions(receipt(1, 0, "wh-1", a="x"), receipt(2, 60, "wh-2", a="x"), receipt(3, 120, "wh-1", a="x"))
    assert found == [STORED[1], STORED[2], RevisionDecision(None)]


def test_fold_other_content_under_a_known_event_id_is_a_flagged_revision() -> None:
    found = decisions(receipt(1, 0, "wh-1", a="x"), receipt(2, 60, "wh-1", a="y"))
    assert found[1] == RevisionDecision(2, flags=("id-reused",))


# Kompar's side: what a customer decides, delivered by the exact schedule, with time-outs and outages of ours.

# Per try: seconds until it failed or ended, and whether it was stored. A stored try may fail all the same.
tries = st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=5, max_size=5)


def sent(number: int, starts_at: float, content: str, fates: Sequence[tuple[float, bool]]) -> list[EventReceipt]:
    """Return the stored tries of one delivery, each newly encrypted; all fail in the sender's eyes."""
    stored, now = [], starts_at
    for index, ((seconds, is_stored), wait) in enumerate(zip(fates, (*WAITS, 0), strict=True)):
        if is_stored:
            body = f"{number}-{index}"
            stored.append(encrypted(number * 10 + index, now + min(seconds, 1), body, accepted=False, a=content))
        now += seconds + wait
    return stored


@given(fates=tries, changed_at=st.floats(11, 5000))
def test_fold_no_retry_undoes_a_later_change(fates: list[tuple[float, bool]], changed_at: float) -> None:
    """The first try is stored, its answer is lost; the customer changes; the retries come whenever they come."""
    fates[0] = fates[0][0], True
    first = sent(1, 0, "no", fates)
    change = encrypted(99, changed_at, "changed", a="yes")
    decided = fold([*first, change], SCHEDULE)
    assert [decided[each.receipt].revision for each in first] == [1] + [None] * (len(first) - 1)
    assert decided[change.receipt].revision == 2
    assert all(decided[each.receipt].reason == "late-retry" for each in first if each.order > change.order)


@given(changed_after=st.floats(0.01, 1e5), back_after=st.floats(0.01, 1e5))
def test_fold_a_change_back_is_a_revision_or_suspected(changed_after: float, back_after: float) -> None:
    """Every delivery was answered at once: a change back is a duplicate only if a retry could come at that time."""
    no, yes = encrypted(1, 0, "p", a="no"), encrypted(2, changed_after, "q", a="yes")
    back = encrypted(3, changed_after + back_after, "r", a="no")
    decision = decisions(no, yes, back)[2]
    assert decision == (late_retry(1) if SCHEDULE.fits(back.received_at - NOON) else STORED[3])


@given(data=st.data())
def test_fold_is_a_function_of_the_set_of_receipts(data: st.DataObject) -> None:
    times = st.sampled_from([0, 5, 30, 35, 150, 900, 1000, 3600, 9000])
    drawn = data.draw(st.lists(st.tuples(times, st.sampled_from("xyz"), st.booleans()), max_size=8))
    receipts = [encrypted(at, when, str(at // 2), ok, a=what) for at, (when, what, ok) in enumerate(drawn)]
    assert fold(receipts, SCHEDULE) == fold(data.draw(st.permutations(receipts)), SCHEDULE)
