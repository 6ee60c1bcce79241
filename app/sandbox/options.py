"""Options that the commands which send have in common."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from app.domain.web_address import address_problem
from app.sandbox.faults import FAULTS
from app.sandbox.workload import KINDS


class Positive(click.FloatRange):
    """A number above 0, and a number: `nan` is in every range."""

    def __init__(self, max: float | None = None) -> None:  # noqa: A002 - named by click
        super().__init__(min=0, min_open=True, max=max)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fails for what is none, or outside."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number", param, ctx)
        return number


def _receiver(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    if url is not None and (problem := address_problem(url, ("http", "https"))):
        raise click.BadParameter(f"{url!r} {problem}; write it like http://host:8080")
    return url


COUNT = click.IntRange(min=0)

url = click.option(
    "--url", envvar="INGEST_URL", callback=_receiver, help="The receiver; default: what `kvitto up` serves."
)
seed = click.option("--seed", default=1, show_default=True, help="The same seed makes the same people.")
speed = click.option(
    "--speed",
    type=Positive(),
    default=60.0,
    show_default=True,
    help="How many times faster than the provider's schedule to try again.",
)
record = click.option(
    "--record",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Add every try and its answer to this file, for `kvitto audit --against`.",
)


def mix(text: str) -> Mapping[str, int]:
    """Return the weights of `applications=6,decisions=2,solaris=2`, of those that are sent at all."""
    pairs = [re.fullmatch(r"([a-z]+)=([0-9]{1,6})", item.strip()) for item in text.split(",")]
    found = {pair[1]: int(pair[2]) for pair in pairs if pair and pair[1] in KINDS}
    if len(found) < len(pairs) or not any(found.values()):
        raise click.BadParameter(f"{text!r} is no mix of {', '.join(KINDS)}; write it like applications=6,solaris=2")
    return {kind: weight for kind, weight in found.items() if weight}


def fault_share(text: str) -> tuple[str, float]:
    """Return name and share, of 1, of `duplicate=2%`."""
    found = re.fullmatch(r"([a-z-]+)=([0-9]{1,3}(?:\.[0-9]{1,9})?)%", text)
    if found is None or float(found[2]) > 100:
        raise click.BadParameter(f"{text!r} is no fault's share; write it like duplicate=2%")
    if found[1] not in FAULTS:
        raise click.BadParameter(f"{found[1]!r} is no fault; there are {', '.join(FAULTS)}")
    return found[1], float(found[2]) / 100
