"""Durations, rates and times as they are written on a command line: types of its options."""

import re
from datetime import UTC, datetime

import click

from app.domain.masking import mask_text

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"


def duration(text: str) -> float:
    """Return the seconds of `90s`, `2m`, `1.5h` or `500ms`."""
    found = re.fullmatch(rf"{_NUMBER}(ms|s|m|h)", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration; write it like 60s, 2m or 500ms")
    return float(found[1]) * _SECONDS[found[2]]


def rate(text: str) -> float:
    """Return how many a second `200/s`, `30/m` or `1000/h` are, more than none."""
    found = re.fullmatch(rf"{_NUMBER}/(s|m|h)", text)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{text!r} is no rate; write it like 200/s or 30/m")
    return float(found[1]) / _SECONDS[found[2]]


def moment(text: str) -> datetime:
    """Return the time that `2026-11-01` or `2026-11-01T08:00:00` names, in UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time; write it like 2026-11-01 or 2026-11-01T08:00:00") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def without_national_id(context: click.Context, option: click.Parameter, reason: str | None) -> str | None:
    """Return the reason that was given, trimmed; to be an option's callback."""
    if reason is not None and (not reason.strip() or mask_text(reason) != reason):
        raise click.BadParameter("give a reason that holds no national id, a case's number say", context, option)
    return None if reason is None else reason.strip()
