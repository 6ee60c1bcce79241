"""The settings QUIET_HOURS and TIME_ZONE: when nothing is expected of a provider."""

import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Self
from zoneinfo import ZoneInfo

from config.declarations import DEFAULTS
from config.environment import Environment

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_RANGE = re.compile(rf"({'|'.join(_DAYS)})(?:-({'|'.join(_DAYS)}))?")
_HOUR_RANGE = re.compile(r"([01][0-9]|2[0-4])-([01][0-9]|2[0-4])")
_PROVIDER = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of the week by provider, None for all providers; hour 0 begins on Monday at midnight, local time."""

    items: tuple[tuple[str | None, frozenset[int]], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse items such as `sat-sun`, `22-06` or `kompar mon-fri 18-08`, separated by commas.

        An item has a provider, days and hours, in this order; the provider, and days or hours, may be left out. Hours
        past midnight belong to the day on which they begin.

        Raises:
            ValueError: An item has another form; the text is the item.
        """
        return cls(tuple(_parse_item(item.strip().lower()) for item in text.split(",") if item.strip()))

    def of(self, provider: str) -> frozenset[int]:
        """Return the quiet hours of a provider."""
        return frozenset().union(*(hours for name, hours in self.items if name in (None, provider)))


def quiet_hours(environment: Environment) -> QuietHours:
    """Return when nothing is expected of providers."""
    try:
        return QuietHours.parse(environment.text("QUIET_HOURS", ""))
    except ValueError as error:
        hint = "Write items like sat-sun, 22-06 or PROVIDER mon-fri 18-08, separated by commas"
        environment.fault("QUIET_HOURS", f"has an item of another form: {str(error)!r}", hint)
        return QuietHours()


def time_zone(environment: Environment) -> tzinfo:
    """Return the time zone of hours of the week; UTC if it is not set and this machine knows no zones."""
    name = environment.text("TIME_ZONE", DEFAULTS["TIME_ZONE"])
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown; no name of one
        if environment.is_set("TIME_ZONE"):
            hint = "Name it like Europe/Oslo, install the system's package tzdata, or set TIME_ZONE=UTC"
            environment.fault("TIME_ZONE", f"is no time zone that this machine knows: {name!r}", hint)
        return UTC


def _parse_item(item: str) -> tuple[str | None, frozenset[int]]:
    words = item.split()
    # A name is no range of days: `sat` is a day.
    provider = words.pop(0) if _PROVIDER.fullmatch(words[0]) and not _DAY_RANGE.fullmatch(words[0]) else None
    days = _parse_days(words.pop(0)) if words and _DAY_RANGE.fullmatch(words[0]) else range(7)
    start, length = _parse_hours(words.pop(0)) if words and _HOUR_RANGE.fullmatch(words[0]) else (0, 24)
    if words or item == provider:
        raise ValueError(item)
    return provider, frozenset((day * 24 + start + hour) % 168 for day in days for hour in range(length))


def _parse_days(text: str) -> list[int]:
    first, _, last = text.partition("-")
    start, end = _DAYS.index(first), _DAYS.index(last or first)
    return [(start + day) % 7 for day in range((end - start) % 7 + 1)]


def _parse_hours(text: str) -> tuple[int, int]:
    start, _, end = text.partition("-")
    return int(start), (int(end) - int(start) - 1) % 24 + 1
