"""What the operators' page shows."""

from datetime import UTC, datetime, timedelta

import pytest

from app.console.overview import ago

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-4_000, "in 1 h"),
        (-5, "0 s ago"),  # clocks differ a little
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3_599, "59 min ago"),
        (7_200, "2 h ago"),
        (172_800, "2 d ago"),
    ],
)
def test_ago_uses_the_largest_unit(seconds: float, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text
