"""What commands print: aligned and coloured on a terminal, plain in a pipe, JSON on request."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text


def console(stderr: bool = False, fit: bool = False) -> Console:
    """Return a console. Lines that are too wide are left to the terminal to wrap, unless `fit` wraps them.

    Text is never parsed as markup, and NO_COLOR keeps escape sequences out of it (no-color.org).
    """
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not fit,
        width=None if fit else 1000,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def print_line(text: str, style: str = "", stderr: bool = False) -> None:
    """Print one line, styled on a terminal."""
    console(stderr).print(Text(text, style))


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    as_json: bool,
    empty: str,
    styles: Mapping[Any, str] | None = None,
    wrapped: Sequence[str] = (),
) -> None:
    """Print rows as a table or as JSON. Numbers are aligned right, values in `styles` are coloured.

    On a terminal, columns in `wrapped` wrap at words so that rows fit its width.
    """
    if as_json:
        click.echo(json.dumps([dict(row) for row in rows], indent=2, default=to_json, ensure_ascii=False))
        return
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        is_number = all(isinstance(row.get(column), int) for row in rows)
        table.add_column(column, justify="right" if is_number else "left", no_wrap=column not in wrapped)
    for row in rows:
        values = [row.get(column) for column in columns]
        cell_styles = [(styles or {}).get(value, "") if isinstance(value, str) else "" for value in values]
        table.add_row(*(Text(_text(value), style) for value, style in zip(values, cell_styles, strict=True)))
    console(fit=bool(wrapped) and sys.stdout.isatty()).print(table)


def print_record(record: Mapping[str, Any], columns: Sequence[str], as_json: bool) -> None:
    """Print one row of many that come one by one: a line of values, or all of it as a line of JSON."""
    if as_json:
        click.echo(json.dumps(dict(record), default=to_json, ensure_ascii=False))
    else:
        click.echo("  ".join(_text(record[column]) for column in columns))


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print one object's fields, a line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, value in fields.items():
        table.add_row(name, _text(value))
    console().print(table)


def to_json(value: Any) -> Any:
    """Return what JSON holds of a value that it has no type for."""
    return float(value) if isinstance(value, Decimal) else str(value)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" ", timespec="milliseconds"))
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "-"
    # Escape control characters: a provider's text must not control the terminal.
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(value))
