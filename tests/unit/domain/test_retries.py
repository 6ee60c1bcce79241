"""Which times between two receipts fit a schedule."""

from datetime import timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.retries import RetrySchedule

WAITS = (30, 120, 900, 3600)
SCHEDULE = RetrySchedule.of_waits([timedelta(seconds=wait) for wait in WAITS], timedelta(seconds=10))


def fits(seconds: float) -> bool:
    return SCHEDULE.fits(timedelta(seconds=seconds))


@given(first=st.integers(0, 3), more=st.integers(1, 4), delays=st.lists(st.floats(0, 14), min_size=4, max_size=4))
def test_schedule_fits_every_pair_of_tries(first: int, more: int, delays: list[float]) -> None:
    """Each try takes up to 10 s to fail, and its successor is up to 4 s late."""
    steps = [wait + delay for wait, delay in zip(WAITS, delays, strict=True)]
    assert fits(sum(steps[first : first + more]))


# In seconds: before, between and after the sums of waits.
OTHER_TIMES = [0, 5, 20, 27, 46, 60, 90, 117, 136, 147, 181, 600, 897, 916, 930, 1017, 1100, 1800, 3597, 3616, 3630]
OTHER_TIMES += [4497, 4531, 4617, 4711, 7200, 86_400]


@pytest.mark.parametrize("seconds", OTHER_TIMES)
def test_schedule_fits_no_other_time(seconds: float) -> None:
    assert not fits(seconds)


def test_schedule_fits_less_than_a_fifteenth_of_its_length() -> None:
    """Most changes back are then known for what they are."""
    total = list(accumulate(WAITS))[-1]
    assert sum(map(fits, range(total))) < total / 15


def test_schedule_within_a_horizon_fits_up_to_it() -> None:
    week = RetrySchedule.within(timedelta(days=7))
    assert [week.fits(timedelta(days=days)) for days in (0, 7, 7.1)] == [True, True, False]
