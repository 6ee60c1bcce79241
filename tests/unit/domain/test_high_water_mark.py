"""A mark proves what an inbox held; epochs follow each other whatever the clocks say."""

from uuid import UUID

import pytest

from app.domain.delivery import StreamId
from app.domain.high_water_mark import HighWaterMark, new_epoch

FAR_AHEAD = UUID(int=0xFFFF << 112 | new_epoch().int)


def mark(epoch: int, appended: int, ms: int) -> HighWaterMark:
    return HighWaterMark(UUID(int=epoch), appended, StreamId(ms, 0))


@pytest.mark.parametrize(
    ("now", "is_behind"),
    [
        (mark(2, 5, 50), False),
        (mark(2, 6, 60), False),
        (mark(2, 4, 40), True),
        (mark(2, 4, 60), True),
        (mark(2, 5, 40), True),
        (mark(1, 9, 90), True),
        (mark(3, 1, 10), False),
    ],
)
def test_an_inbox_is_behind_if_count_or_id_or_epoch_went_back(now: HighWaterMark, is_behind: bool) -> None:
    assert now.is_behind(mark(2, 5, 50)) == is_behind


def test_new_epoch_is_later_than_one_of_a_clock_that_was_ahead() -> None:
    assert new_epoch() < FAR_AHEAD
    ahead = UUID(int=(new_epoch().int >> 80) + 86_400_000 << 80)
    assert new_epoch(after=ahead) > ahead
