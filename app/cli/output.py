"""What commands print: aligned and coloured on a terminal, plain in a pipe, JSON on request."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text


def console() -> Console:
    """Return a console on standard output that shortens nothing: what is too wide is the terminal's to wrap."""
    return Console(highlight=False, soft_wrap=True, width=1000)


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    as_json: bool,
    empty: str,
    styles: Mapping[Any, str] | None = None,
    wrapped: Sequence[str] = (),
) -> None:
    """Print rows as a table, or as JSON; numbers stand to the right, values in `styles` are coloured.

    On a terminal, columns in `wrapped` are wrapped at words so that rows fit its width.
    """
    if as_json:
        click.echo(json.dumps([dict(row) for row in rows], indent=2, default=str, ensure_ascii=False))
        return
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numbers = all(isinstance(row.get(column), int) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", no_wrap=column not in wrapped)
    for row in rows:
        values = [row.get(column) for column in columns]
        table.add_row(*(Text(_text(value), _style(value, styles or {})) for value in values))
    (Console(highlight=False) if wrapped and sys.stdout.isatty() else console()).print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" ", timespec="milliseconds"))
    return str(value)


def _style(value: Any, styles: Mapping[Any, str]) -> str:
    return styles.get(value, "") if isinstance(value, str) else ""
