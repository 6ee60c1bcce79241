"""Types and callbacks of command line options: durations, rates, times, reasons."""

import re
from datetime import UTC, datetime

import click

from app.domain.record_text import REASON_LENGTH, record_problem

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"


def duration(text: str) -> float:
    """Return the seconds of `90s`, `2m`, `1.5h` or `500ms`."""
    match = re.fullmatch(rf"{_NUMBER}(ms|s|m|h)", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no duration; write it like 60s, 2m or 500ms")
    return float(match[1]) * _SECONDS[match[2]]


def rate(text: str) -> float:
    """Return the number per second of `200/s`, `30/m` or `1000/h`; it must be above 0."""
    match = re.fullmatch(rf"{_NUMBER}/(s|m|h)", text)
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{text!r} is no rate; write it like 200/s or 30/m")
    return float(match[1]) / _SECONDS[match[2]]


def moment(text: str) -> datetime:
    """Return the time of `2026-11-01` or `2026-11-01T08:00:00`, in UTC unless the text has an offset."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time; write it like 2026-11-01 or 2026-11-01T08:00:00") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def recorded_reason(context: click.Context, option: click.Parameter, reason: str | None) -> str | None:
    """Return the reason, trimmed; reject one that cannot be recorded. The callback of an option."""
    if reason is None:
        return None
    reason = reason.strip()
    if problem := record_problem(reason, REASON_LENGTH):
        hint = "give one line without a national id, for example a case number"
        raise click.BadParameter(f"it {problem}; {hint}", context, option)
    return reason
