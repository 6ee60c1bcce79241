"""When a silence is no chance: months of made-up traffic, steady and by office hours, busy and rare."""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from app.domain.silence import WEEK_HOURS, Expectation, HourCount, WeeklyRates, learn

ZONE = ZoneInfo("Europe/Stockholm")
HOUR = timedelta(hours=1)
START = datetime(2026, 8, 3, tzinfo=UTC)  # summer time ends on 25 October
# Local time → deliveries an hour.
Rate = Callable[[datetime], float]


def office(peak: float, night: float, weekend: float) -> Rate:
    def rate(local: datetime) -> float:
        if local.weekday() >= 5:
            return peak * weekend
        return peak if 8 <= local.hour < 18 else peak * 0.3 if local.hour in (7, 18, 19) else peak * night

    return rate


def steady(an_hour: float) -> Rate:
    return lambda _local: an_hour


def traffic(random: Random, rate: Rate, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the times of deliveries that arrive at random, at a rate that changes by the hour."""
    while start < end:
        mean, at = rate(start.astimezone(ZONE)), start
        while mean and (at := at + HOUR * (random.expovariate(1) / mean)) < start + HOUR:
            yield at
        start += HOUR


class Simulation:
    """Counts arrivals, and asks after each whether the silence until the next is an alarm."""

    def __init__(self) -> None:
        self.hours: dict[datetime, HourCount] = {}
        self.slots: dict[datetime, set[int]] = {}
        self.alarms: list[tuple[datetime, datetime]] = []
        self.longest: timedelta = timedelta()
        self._rates: WeeklyRates | None = None
        self.learned_at = START
        self._last: datetime | None = None

    def run(self, times: Iterator[datetime]) -> "Simulation":
        for at in times:
            if self._last is not None and at - self._last > timedelta(minutes=5):
                expected = self.expect(self._last)
                if expected and expected.expected_by:
                    self.longest = max(self.longest, expected.expected_by - self._last)
                    if at > expected.expected_by:
                        self.alarms.append((self._last, at))
            self.count(at)
        return self

    def count(self, at: datetime, deliveries: int = 1) -> None:
        hour = at.replace(minute=0, second=0, microsecond=0)
        self.slots.setdefault(hour, set()).add((at - hour) // timedelta(seconds=10))
        before = self.hours[hour].receipts if hour in self.hours else 0
        self.hours[hour] = HourCount(before + deliveries, len(self.slots[hour]))
        self._last = at

    def expect(self, last: datetime) -> Expectation | None:
        if last - self.learned_at > timedelta(days=3):
            old = [hour for hour in self.hours if hour < last - timedelta(weeks=9)]
            for hour in old:
                del self.hours[hour], self.slots[hour]
            self._rates, self.learned_at = learn(self.hours, last, ZONE), last
        return self._rates.expect(self.hours, last) if self._rates else None


@pytest.mark.parametrize(
    ("rate", "months", "longest"),
    [
        (steady(90), 2, timedelta(minutes=30)),
        (steady(2), 4, timedelta(hours=24)),
        (steady(5 / WEEK_HOURS), 12, timedelta(weeks=5)),
        (office(40, night=0, weekend=0), 3, timedelta(days=3)),
        (office(10, night=0.05, weekend=0.1), 4, timedelta(days=3)),
        (office(0.3, night=0, weekend=0), 9, timedelta(days=9)),
    ],
    ids=["90 an hour", "2 an hour", "5 a week", "40 in office hours", "10 and few at night", "3 a day"],
)
def test_silence_of_random_traffic_is_rarely_an_alarm_and_a_real_one_soon_is(
    rate: Rate, months: int, longest: timedelta
) -> None:
    simulation = Simulation().run(traffic(Random(3), rate, START, START + timedelta(days=30 * months)))
    assert len(simulation.alarms) <= months
    assert timedelta() < simulation.longest < longest


def test_silence_in_office_hours_is_an_alarm_within_the_hour() -> None:
    simulation = Simulation().run(traffic(Random(4), office(40, 0, 0), START, START + timedelta(weeks=6)))
    tuesday = datetime(2026, 9, 8, 11, tzinfo=ZONE)
    expected = simulation.expect(tuesday)
    assert expected
    assert expected.expected_by
    assert timedelta(minutes=5) <= expected.expected_by - tuesday < HOUR
    assert 60 < expected.usual_gap_seconds < 140


def test_silence_over_a_weekend_and_a_change_of_clocks_is_no_alarm() -> None:
    end = datetime(2026, 11, 9, tzinfo=UTC)
    simulation = Simulation().run(traffic(Random(5), office(120, 0, 0), START, end))
    assert simulation.alarms == []


def test_silence_on_holidays_is_an_alarm_once_at_most() -> None:
    usual = office(60, 0.02, 0.2)
    holidays = {date(2026, 12, day) for day in (24, 25, 26)}
    start = datetime(2026, 11, 2, tzinfo=UTC)

    def rate(local: datetime) -> float:
        return usual(local) * (0.1 if local.date() in holidays else 1)

    simulation = Simulation()
    simulation.learned_at = start
    simulation.run(traffic(Random(6), rate, start, datetime(2026, 12, 28, tzinfo=UTC)))
    assert len(simulation.alarms) <= 1


def test_expectation_needs_two_weeks_of_history() -> None:
    simulation = Simulation().run(traffic(Random(7), steady(60), START, START + timedelta(days=13)))
    assert learn(simulation.hours, START + timedelta(days=13), ZONE) is None
    assert learn({}, START, ZONE) is None
    simulation.run(traffic(Random(7), steady(60), START + timedelta(days=13), START + timedelta(days=15)))
    assert learn(simulation.hours, START + timedelta(days=15), ZONE)


def test_expectation_ignores_one_burst() -> None:
    simulation = Simulation().run(traffic(Random(8), steady(0.2), START, START + timedelta(weeks=6)))
    now = START + timedelta(weeks=6)
    last = max(simulation.hours)

    def expected_by() -> datetime:
        rates = learn(simulation.hours, now, ZONE)
        assert rates
        found = rates.expect(simulation.hours, last).expected_by
        assert found
        return found

    before = expected_by()
    for second in range(0, 5 * 3600, 10):  # somebody tested with load for five hours
        simulation.count(START + timedelta(weeks=5, days=1, seconds=second), deliveries=100)
    assert abs(expected_by() - before) < timedelta(hours=12)


def test_expectation_never_falls_into_quiet_hours() -> None:
    simulation = Simulation().run(traffic(Random(9), steady(60), START, START + timedelta(weeks=3)))
    monday = START + timedelta(weeks=3)
    quiet = range(24)  # all of Monday
    rates = learn(simulation.hours, monday, ZONE, quiet)
    assert rates
    expected = rates.expect(simulation.hours, monday.astimezone(ZONE).replace(hour=1)).expected_by
    assert expected
    assert expected.astimezone(ZONE).weekday() == 1
    assert math.isclose(rates.expect(simulation.hours, monday).usual_gap_seconds, 60, rel_tol=0.3)
