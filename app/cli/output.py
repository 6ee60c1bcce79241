"""What commands print: aligned and coloured on a terminal, plain in a pipe, JSON on request."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text


def console(stderr: bool = False, fitted: bool = False) -> Console:
    """Return a console that shortens nothing: what is too wide is the terminal's to wrap, unless `fitted` to it.

    Nothing in a text is markup, and NO_COLOR keeps escape sequences out of it (no-color.org).
    """
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not fitted,
        width=None if fitted else 1000,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def say(text: str, style: str = "", stderr: bool = False) -> None:
    """Print one line, in a style where there is a terminal."""
    console(stderr).print(Text(text, style))


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
    (console(fitted=True) if wrapped and sys.stdout.isatty() else console()).print(table)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print one thing's fields, a line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, value in fields.items():
        table.add_row(name, _text(value))
    console().print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" ", timespec="milliseconds"))
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "-"
    return _printable(str(value))


def _printable(text: str) -> str:
    """Spell out what is not printable: a provider's text must not steer the terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _style(value: Any, styles: Mapping[Any, str]) -> str:
    return styles.get(value, "") if isinstance(value, str) else ""
