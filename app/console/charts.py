"""Bars of the last hour, as a drawing that the server makes: no script, and the same numbers as a table beside it."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

MINUTES = 60
WIDTH, HEIGHT = 600, 72
_STEP = WIDTH / MINUTES
# From the ground up.
_OUTCOMES = ("stored", "duplicate", "dead", "discarded")


class Bar(NamedTuple):
    """A part of a minute's bar, in the drawing's units."""

    x: float
    y: float
    width: float
    height: float
    outcome: str
    label: str


class Chart(NamedTuple):
    """The bars of an hour, its highest minute, and its minutes with deliveries, newest first."""

    bars: list[Bar]
    highest: int
    minutes: list[tuple[datetime, dict[str, int]]]

    @property
    def total(self) -> int:
        """The number of deliveries of the hour."""
        return sum(sum(counts.values()) for _, counts in self.minutes)


def draw(rows: Iterable[Mapping[str, Any]], now: datetime) -> Chart:
    """Return the chart of one provider's minutes up to now; each row has `minute`, `outcome` and `deliveries`."""
    first = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)
    by_minute: dict[datetime, dict[str, int]] = {}
    for row in rows:
        if row["minute"] >= first:
            by_minute.setdefault(row["minute"], {})[row["outcome"]] = row["deliveries"]
    highest = max((sum(counts.values()) for counts in by_minute.values()), default=0)
    bars = []
    for minute, counts in by_minute.items():
        x, top = (minute - first) / timedelta(minutes=1) * _STEP, float(HEIGHT)
        for outcome in filter(counts.__contains__, _OUTCOMES):
            height = max(counts[outcome] / highest * (HEIGHT - 2), 1.0)
            top -= height
            label = f"{minute:%H:%M} {counts[outcome]} {outcome}"
            bars.append(Bar(round(x, 1), round(top, 1), round(_STEP - 1.5, 1), round(height, 1), outcome, label))
    return Chart(bars, highest, sorted(by_minute.items(), reverse=True))
