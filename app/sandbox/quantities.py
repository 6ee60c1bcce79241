"""Rates, durations, mixes and shares as they are written on a command line: types of its options."""

import re
from collections.abc import Mapping

import click

from app.sandbox.faults import FAULTS
from app.sandbox.mix import KINDS

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"


def duration(text: str) -> float:
    """Return the seconds of `90s`, `2m`, `1.5h` or `500ms`."""
    found = re.fullmatch(rf"{_NUMBER}(ms|s|m|h)", text)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{text!r} is no duration; write it like 60s, 2m or 500ms")
    return float(found[1]) * _SECONDS[found[2]]


def rate(text: str) -> float:
    """Return how many a second `200/s`, `30/m` or `1000/h` are."""
    found = re.fullmatch(rf"{_NUMBER}/(s|m|h)", text)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{text!r} is no rate; write it like 200/s or 30/m")
    return float(found[1]) / _SECONDS[found[2]]


def mix(text: str) -> Mapping[str, int]:
    """Return the weights of `applications=6,decisions=2,solaris=2`, of those that are sent at all."""
    pairs = [re.fullmatch(r"([a-z]+)=(\d{1,6})", item.strip()) for item in text.split(",")]
    found = {pair[1]: int(pair[2]) for pair in pairs if pair and pair[1] in KINDS}
    if len(found) < len(pairs) or not any(found.values()):
        raise click.BadParameter(f"{text!r} is no mix of {', '.join(KINDS)}; write it like applications=6,solaris=2")
    return {kind: weight for kind, weight in found.items() if weight}


def fault(text: str) -> tuple[str, float]:
    """Return name and share, of 1, of `duplicate=2%`."""
    found = re.fullmatch(rf"([a-z-]+)={_NUMBER}%", text)
    if found is None or float(found[2]) > 100:
        raise click.BadParameter(f"{text!r} is no fault's share; write it like duplicate=2%")
    if found[1] not in FAULTS:
        raise click.BadParameter(f"{found[1]!r} is no fault; there are {', '.join(FAULTS)}")
    return found[1], float(found[2]) / 100
