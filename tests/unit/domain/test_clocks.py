"""By how much clocks differ, at least."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.clocks import skew_seconds

BEFORE = datetime(2026, 11, 1, tzinfo=UTC)
AFTER = BEFORE + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("clock", "newest", "skew"),
    [(0, 0, 0), (0.5, -90, 0), (1, 1, 0), (91, 0, 90), (-90, 0, -90), (0.5, 3_601, 3_600), (-90, 3_601, -90)],
)
def test_skew_is_measured_between_two_readings(clock: float, newest: float, skew: float) -> None:
    at, newest_at = BEFORE + timedelta(seconds=clock), BEFORE + timedelta(seconds=newest)
    assert skew_seconds(at, newest_at, between=(BEFORE, AFTER)) == skew
