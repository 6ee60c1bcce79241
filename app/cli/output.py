"""What commands print: aligned and coloured on a terminal, plain in a pipe, JSON on request."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text


def console(stderr: bool = False) -> Console:
    """Return a console that shortens nothing: what is too wide is the terminal's to wrap.

    Nothing in a text is markup, and NO_COLOR keeps escape sequences out of it (no-color.org).
    """
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        width=1000,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def say(text: str, style: str = "", stderr: bool = False) -> None:
    """Print one line, in a style where there is a terminal."""
    console(stderr).print(Text(text, style))


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool, empty: str) -> None:
    """Print rows as a table, or as JSON; numbers stand to the right."""
    if as_json:
        click.echo(json.dumps([dict(row) for row in rows], indent=2, default=str, ensure_ascii=False))
        return
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numbers = all(isinstance(row.get(column), int) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    console().print(table)


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
