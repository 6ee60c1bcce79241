"""Options that the sandbox's commands share, and the types of their values."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from app.sandbox.faults import FAULTS
from app.sandbox.workload import KINDS
from config.web_address import address_problem


class RealRange(click.FloatRange):
    """A number in a range. Unlike `click.FloatRange` it rejects `nan`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fails for anything else."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


POSITIVE = RealRange(min=0, min_open=True)


def weights(text: str) -> Mapping[str, int]:
    """Return the weights above 0 of `applications=6,decisions=2,solaris=2`."""
    pairs = [re.fullmatch(r"([a-z]+)=([0-9]{1,6})", item.strip()) for item in text.split(",")]
    by_kind = {pair[1]: int(pair[2]) for pair in pairs if pair and pair[1] in KINDS}
    if len(by_kind) < len(pairs) or not any(by_kind.values()):
        raise click.BadParameter(f"{text!r} must weigh {', '.join(KINDS)}; write it like applications=6,solaris=2")
    return {kind: weight for kind, weight in by_kind.items() if weight}


def fault_share(text: str) -> tuple[str, float]:
    """Return the name and the share, from 0 to 1, of `duplicate=2%`."""
    match = re.fullmatch(r"([a-z-]+)=([0-9]{1,3}(?:\.[0-9]{1,9})?)%", text)
    if match is None or float(match[2]) > 100:
        raise click.BadParameter(f"{text!r} is not a fault with its share; write it like duplicate=2%")
    if match[1] not in FAULTS:
        raise click.BadParameter(f"{match[1]!r} is not a fault; there are {', '.join(FAULTS)}")
    return match[1], float(match[2]) / 100


def _receiver_url(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    if url is not None and (problem := address_problem(url, ("http", "https"))):
        raise click.BadParameter(f"{url!r} {problem}; write it like http://host:8080")
    return url


def count(name: str, default: int, text: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """Return an option for a number of events."""
    return click.option(name, type=click.IntRange(min=0), default=default, help=text)


url = click.option(
    "--url", envvar="INGEST_URL", callback=_receiver_url, help="The receiver; default: the one `kvitto up` serves."
)
seed = click.option("--seed", default=1, help="The same seed generates the same events.")
speed = click.option(
    "--speed", type=POSITIVE, default=60.0, help="Retry this many times faster than the provider's schedule."
)
record = click.option(
    "--record",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Append every attempt and its answer to this file, for `kvitto audit --against`.",
)
