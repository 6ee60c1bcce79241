"""Learn when deliveries usually arrive, and by when the next one is expected.

A rate is learned for each hour of a week: in how many slots of ten seconds deliveries usually arrived, so that a burst
counts little more than one delivery. Hours with few deliveries are pooled with their neighbours, and the busiest
quarter of the weeks is left out, so that one unusual day teaches nothing. A silence is compared with the rates of the
very hours it lasted: a night adds little to it, and a weekend perhaps nothing.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

SLOT_SECONDS = 10
SLOTS_PER_HOUR = 3600 // SLOT_SECONDS
WEEK_HOURS = 168
# What is learned from, at most and at least. In the first week, nobody knows what a weekend is like.
MOST_WEEKS = 8
_LEAST_WEEKS = 2
# Into how many parts a week is divided, and each of these in turn: days, halves of a day, …, hours.
_PARTS = (7, 2, 2, 2, 3)
# Hours are pooled if there are usually fewer slots with deliveries in them.
_ENOUGH_SLOTS = 3
# How often a month deliveries that arrive at random may be taken for silent.
_FALSE_ALARMS_PER_MONTH = 0.05
_HOURS_PER_MONTH = 730
# A share of slots that leaves room for doubt, however busy the hour.
_MOST_CERTAIN = 0.95
# No shorter silence needs an operator: senders restart.
_SHORTEST = timedelta(minutes=5)
_LONGEST = timedelta(weeks=MOST_WEEKS)
# On a holiday fewer deliveries arrive. The hours before show how many fewer: those with so many expected slots.
_LEVEL_SLOTS = 50
_LEVEL_PRIOR = 5.0
_HOUR = timedelta(hours=1)
_SECONDS_PER_WEEK = 3600 * WEEK_HOURS


class HourCount(NamedTuple):
    """How many deliveries arrived in an hour, and in how many of its slots."""

    receipts: int
    slots: int


_NOTHING = HourCount(0, 0)
# The start of an hour, in UTC → what arrived in it. Hours without deliveries are left out.
Hours = Mapping[datetime, HourCount]


class Expectation(NamedTuple):
    """How long the gap between deliveries usually is at this time, and by when the next one is expected."""

    usual_gap_seconds: float
    expected_by: datetime | None


class _Rate(NamedTuple):
    """The rate of one hour of the week: slots with deliveries, and the usual gap between two deliveries."""

    slots: float
    gap_seconds: float

    @property
    def weight(self) -> float:
        """By how much an hour without deliveries counts: -ln of its probability, if slots are independent."""
        return -math.log1p(-min(self.slots / SLOTS_PER_HOUR, _MOST_CERTAIN)) * SLOTS_PER_HOUR


@dataclass(frozen=True)
class WeeklyRates:
    """The rates of the hours of a week, of local time in `zone`; hour 0 begins on Monday at midnight.

    Nothing is expected in the hours of `quiet`.
    """

    rates: Sequence[_Rate]
    zone: tzinfo
    quiet: Collection[int] = ()

    def expect(self, hours: Hours, last_received_at: datetime) -> Expectation:
        """Return what to expect after the last delivery; `hours` is what arrived before it."""
        level = self._level(hours, last_received_at)
        gap = self.rates[_hour_of_week(last_received_at, self.zone)].gap_seconds
        return Expectation(gap, self._expected_by(last_received_at, level))

    def _level(self, hours: Hours, before: datetime) -> float:
        """Return which share of the usual deliveries arrived in the hours before a moment, at most 1."""
        expected, seen = 0.0, 0
        hour, hour_of_week = _floor(before), _hour_of_week(before, self.zone)
        share = (before - hour) / _HOUR  # of the hour that has not ended
        for number in range(WEEK_HOURS):
            if expected >= _LEVEL_SLOTS:
                break
            expected += share * self.rates[(hour_of_week - number) % WEEK_HOURS].slots
            seen += hours.get(hour - number * _HOUR, _NOTHING).slots
            share = 1
        return min(1.0, (seen + _LEVEL_PRIOR) / (expected + _LEVEL_PRIOR))

    def _expected_by(self, after: datetime, level: float) -> datetime | None:
        """Return when a silence will be too improbable for chance; None if not within weeks."""
        slots_per_month = sum(rate.slots for rate in self.rates) / WEEK_HOURS * _HOURS_PER_MONTH
        left = math.log(slots_per_month / _FALSE_ALARMS_PER_MONTH) / level
        moment = after
        while moment < after + _LONGEST:
            end = _floor(moment) + _HOUR
            hour = _hour_of_week(moment, self.zone)
            weight = 0.0 if hour in self.quiet else self.rates[hour].weight
            full = weight * ((end - moment) / _HOUR)
            if full >= left:
                return max(moment + _HOUR * (left / weight), after + _SHORTEST)
            left -= full
            moment = end
        return None


def learn(hours: Hours, until: datetime, zone: tzinfo, quiet: Collection[int] = ()) -> WeeklyRates | None:
    """Return the rates of what arrived in the weeks up to a time; None if there are too few weeks or deliveries."""
    end = _floor(until)
    weeks = min(MOST_WEEKS, (end - min(hours, default=end)) // timedelta(weeks=1))
    if weeks < _LEAST_WEEKS:
        return None
    slots, receipts = _Weekly(weeks), _Weekly(weeks)
    for hour, count in hours.items():
        week = (end - hour - _HOUR) // timedelta(weeks=1)
        if 0 <= week < weeks:
            hour_of_week = _hour_of_week(hour, zone)
            slots.counts[week][hour_of_week] += count.slots
            receipts.counts[week][hour_of_week] += count.receipts
    if slots.usual(0, WEEK_HOURS) < _ENOUGH_SLOTS:
        return None
    mean_gap = _SECONDS_PER_WEEK / receipts.usual(0, WEEK_HOURS)
    rates: list[_Rate] = []
    for start, length in _pool(slots, 0, WEEK_HOURS, _PARTS):
        gap = 3600 * length / usual if (usual := receipts.usual(start, length)) else mean_gap
        rates += [_Rate(slots.usual(start, length) / length, gap)] * length
    return WeeklyRates(rates, zone, quiet)


def _pool(slots: "_Weekly", start: int, length: int, parts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the spans of hours that share a rate: the week in ever smaller parts, while a part has enough slots."""
    if not parts or slots.usual(start, length) < _ENOUGH_SLOTS:
        yield start, length
        return
    part = length // parts[0]
    for first in range(start, start + length, part):
        yield from _pool(slots, first, part, parts[1:])


class _Weekly:
    """Counts by week and hour of the week."""

    def __init__(self, weeks: int) -> None:
        self.counts = [[0] * WEEK_HOURS for _ in range(weeks)]
        self._kept = weeks - math.ceil(weeks / 4)

    def usual(self, start: int, length: int) -> float:
        """Return how many there usually are in so many hours: the mean over all weeks but the busiest quarter."""
        sums = sorted(sum(week[start : start + length]) for week in self.counts)
        return sum(sums[: self._kept]) / self._kept


def _floor(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _hour_of_week(moment: datetime, zone: tzinfo) -> int:
    local = moment.astimezone(zone)
    return local.weekday() * 24 + local.hour
