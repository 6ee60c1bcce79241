"""A bare COPY into a table without an index: what Postgres takes in when nothing is asked of it."""

import json
import time
from collections.abc import Sequence

import psycopg


def copy_rate(dsn: str, documents: Sequence[dict[str, object]]) -> float:
    """Copy documents in one transaction; return rows a second."""
    rows = [(str(each["application_id"]), json.dumps(each, ensure_ascii=False)) for each in documents]
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE bare (id text, content jsonb)")
        connection.commit()
        started = time.perf_counter()
        with connection.cursor().copy("COPY bare FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.commit()
        seconds = time.perf_counter() - started
        connection.execute("DROP TABLE bare")
    return len(rows) / seconds
