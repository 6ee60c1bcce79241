"""How a batch travels to Postgres: a binary array per column, which psycopg writes six times as fast as text.

Documents and arrays travel as texts within, for Postgres to read.
"""

import json
from collections.abc import Iterable
from typing import Any

import orjson


def columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the columns of rows, of which there is one at least."""
    return [list(column) for column in zip(*rows, strict=True)]


def to_json(document: Any) -> str:
    """Return a document's text, times and ids in it as Postgres reads them."""
    try:
        return orjson.dumps(document).decode()
    except TypeError:  # an integer beyond 64 bits: Postgres keeps it, orjson does not write it
        return json.dumps(document, default=str)
