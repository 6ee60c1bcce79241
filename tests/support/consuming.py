"""The consumer of docs/consuming.md: its schema, its program, and what of the feed it missed or took twice."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.support.servers import bare_environment

_PAGE = (Path(__file__).parents[2] / "docs" / "consuming.md").read_text()
(SCHEMA,) = re.findall(r"```sql\n(.*?)```", _PAGE, re.DOTALL)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)
CONSUMER = "scoring"
# One snapshot. Of the rows up to the cursor each must be logged as it is; nothing behind the cursor, nothing twice.
_COMPARED = """
    WITH confirmed AS (
        SELECT position FROM reporting.feed_consumers WHERE consumer = 'scoring' AND provider = %(provider)s
    )
    SELECT (SELECT coalesce(max(position), 0) FROM confirmed) AS confirmed,
           (SELECT count(*) - count(DISTINCT position) FROM scoring.changes) AS doubled,
           (SELECT count(*) FROM scoring.changes, confirmed WHERE changes.position > confirmed.position) AS unconfirmed,
           (SELECT count(*) FROM reporting.feed, confirmed
            WHERE provider = %(provider)s AND feed.position > %(start)s AND feed.position <= confirmed.position
              AND NOT EXISTS (
                SELECT FROM scoring.changes AS logged
                WHERE logged.position = feed.position AND logged.receipt = feed.receipt
                  AND logged.change = feed.change AND logged.revision IS NOT DISTINCT FROM feed.revision
                  AND logged.content = feed.content
            )) AS missed
"""


@contextmanager
def schema(database: str) -> Iterator[None]:
    """Make the consumer's schema for the duration of a block; forget the consumer at its end."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(SCHEMA.encode())
    try:
        yield
    finally:
        with psycopg.connect(database, autocommit=True) as owner:
            owner.execute("DROP SCHEMA scoring CASCADE")
            owner.execute("SELECT reporting.forget_consumer('scoring')")


@contextmanager
def running(database: str, provider: str) -> Iterator[None]:
    """Run the program in the role of consumers for the duration of a block, at whose end it is killed."""
    environment = bare_environment() | {"DATABASE_URL": database.replace("//kvitto@", "//kvitto_consumer@")}
    line = [sys.executable, "-c", PROGRAM, provider]
    with subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def skip(database: str, provider: str, position: int) -> None:
    """Have the consumer begin behind a position."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("SELECT FROM reporting.read_feed(%s, %s, 1)", [CONSUMER, provider])
        owner.execute("SELECT reporting.confirm_feed(%s, %s, %s)", [CONSUMER, provider, position])


def confirmed(database: str, provider: str) -> int:
    """Return the position up to which the consumer has confirmed every change."""
    query = "SELECT max(position) FROM reporting.feed_consumers WHERE consumer = %s AND provider = %s"
    with psycopg.connect(database) as connection:
        row = connection.execute(query, [CONSUMER, provider]).fetchone()
    assert row is not None
    return int(row[0] or 0)


def compare(database: str, provider: str, start: int = 0) -> dict[str, Any]:
    """Return the cursor, and how many changes behind `start` were taken twice, ahead of the cursor, or not at all."""
    with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as connection:
        row = connection.execute(_COMPARED, {"provider": provider, "start": start}).fetchone()
    assert row is not None
    return row
