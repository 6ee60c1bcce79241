"""Options that the commands which send have in common."""

import math
from pathlib import Path
from typing import Any

import click

from app.api.address import fault


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
    if url is not None and (problem := fault(url, ("http", "https"))):
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
