"""Bars of the last hour."""

from datetime import UTC, datetime, timedelta

from app.console.charts import HEIGHT, WIDTH, draw

NOW = datetime(2026, 11, 1, 12, 30, 40, tzinfo=UTC)
MINUTE = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)


def row(minutes_ago: int, outcome: str, deliveries: int) -> dict[str, object]:
    return {"minute": MINUTE - timedelta(minutes=minutes_ago), "outcome": outcome, "deliveries": deliveries}


def test_the_highest_minute_fills_the_drawing_and_outcomes_are_stacked() -> None:
    chart = draw([row(0, "dead", 5), row(0, "stored", 15), row(59, "stored", 10), row(60, "stored", 99)], NOW)
    assert (chart.highest, chart.total) == (20, 30)
    stored, dead, earlier = chart.bars
    assert [bar.outcome for bar in chart.bars] == ["stored", "dead", "stored"]
    assert dead.y + dead.height == stored.y
    assert stored.y + stored.height == HEIGHT
    assert dead.y <= 2
    assert (earlier.x, stored.x) == (0, WIDTH - WIDTH / 60)
    assert dead.label == "12:30 5 dead"
    assert [minute for minute, _ in chart.minutes] == [MINUTE, MINUTE - timedelta(minutes=59)]


def test_an_hour_without_deliveries_has_no_bars() -> None:
    assert draw([], NOW) == ([], 0, [])


def test_a_single_delivery_beside_thousands_is_seen() -> None:
    chart = draw([row(0, "stored", 5000), row(1, "dead", 1)], NOW)
    assert min(bar.height for bar in chart.bars) >= 1
