"""Options that the commands which send have in common."""

from pathlib import Path

import click

COUNT = click.IntRange(min=0)

url = click.option("--url", envvar="INGEST_URL", help="The receiver; default: what `kvitto up` serves.")
seed = click.option("--seed", default=1, show_default=True, help="The same seed makes the same people.")
speed = click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
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
