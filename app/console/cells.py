"""How values look in the console's pages."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from app.console import flags
from app.domain.durations import in_words


def seconds(value: float | None) -> str:
    """Return a duration in words."""
    return "–" if value is None else in_words(value)


def milliseconds(value: float | None) -> str:
    """Return a duration in milliseconds, or in words from ten seconds on."""
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value < 10_000 else in_words(value / 1000)


def number(value: int | None) -> str:
    """Return a number with its thousands apart."""
    return "–" if value is None else f"{value:,}"


def moment(value: datetime) -> str:
    """Return a time of UTC to the second."""
    return value.strftime("%Y-%m-%d %H:%M:%S")


def day(value: datetime) -> str:
    """Return the day of a time of UTC."""
    return value.strftime("%Y-%m-%d")


def clock(value: datetime) -> str:
    """Return the time of day to the second."""
    return value.strftime("%H:%M:%S")


def heading(name: str) -> str:
    """Return a column's name as a heading."""
    return name.replace("_", " ")


def pretty_json(value: Any) -> str:
    """Return content as JSON on several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


FILTERS: Mapping[str, Callable[[Any], str]] = {
    "seconds": seconds,
    "milliseconds": milliseconds,
    "number": number,
    "moment": moment,
    "day": day,
    "clock": clock,
    "heading": heading,
    "pretty_json": pretty_json,
    "flag_meaning": flags.meaning,
}
