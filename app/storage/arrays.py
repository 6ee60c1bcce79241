"""How a batch travels to Postgres: a binary array per column, which psycopg writes six times as fast as text.

Documents and arrays travel as texts within, for Postgres to read.
"""

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

# Times and ids as Postgres reads them.
to_json = partial(json.dumps, default=str)


def columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the columns of rows, of which there is one at least."""
    return [list(column) for column in zip(*rows, strict=True)]
