"""Mixes and shares as they are written on a command line: types of its options."""

import re
from collections.abc import Mapping

import click

from app.sandbox.faults import FAULTS
from app.sandbox.mix import KINDS


def mix(text: str) -> Mapping[str, int]:
    """Return the weights of `applications=6,decisions=2,solaris=2`, of those that are sent at all."""
    pairs = [re.fullmatch(r"([a-z]+)=([0-9]{1,6})", item.strip()) for item in text.split(",")]
    found = {pair[1]: int(pair[2]) for pair in pairs if pair and pair[1] in KINDS}
    if len(found) < len(pairs) or not any(found.values()):
        raise click.BadParameter(f"{text!r} is no mix of {', '.join(KINDS)}; write it like applications=6,solaris=2")
    return {kind: weight for kind, weight in found.items() if weight}


def fault(text: str) -> tuple[str, float]:
    """Return name and share, of 1, of `duplicate=2%`."""
    found = re.fullmatch(r"([a-z-]+)=([0-9]{1,3}(?:\.[0-9]{1,9})?)%", text)
    if found is None or float(found[2]) > 100:
        raise click.BadParameter(f"{text!r} is no fault's share; write it like duplicate=2%")
    if found[1] not in FAULTS:
        raise click.BadParameter(f"{found[1]!r} is no fault; there are {', '.join(FAULTS)}")
    return found[1], float(found[2]) / 100
