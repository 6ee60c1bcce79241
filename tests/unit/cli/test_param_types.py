"""Options are parsed to numbers and times, or reported with an example."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from app.cli import param_types


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("2m", 120), ("1.5h", 5400), ("500ms", 0.5)])
def test_duration_is_parsed_to_seconds(text: str, seconds: float) -> None:
    assert param_types.duration(text) == seconds


@pytest.mark.parametrize(("text", "per_second"), [("200/s", 200), ("30/m", 0.5), ("3600/h", 1), ("0.5/s", 0.5)])
def test_rate_is_parsed_to_events_per_second(text: str, per_second: float) -> None:
    assert param_types.rate(text) == pytest.approx(per_second)


def test_moment_is_in_utc_unless_it_has_an_offset() -> None:
    assert param_types.moment("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert param_types.moment("2026-11-01T08:00:00+01:00").tzinfo == timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((param_types.duration, text) for text in ("60", "s", "-1s", "1d", "1e9s", "٣s", "")),
        *((param_types.rate, text) for text in ("200", "0/s", "-2/s", "2/d", "2/s ", "inf/s")),
        *((param_types.moment, text) for text in ("yesterday", "2026-13-01", "")),
    ],
)
def test_invalid_value_is_reported_with_an_example(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(click.BadParameter, match="write it like"):
        parse(text)
