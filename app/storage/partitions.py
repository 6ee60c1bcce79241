"""Partitions of receipts, bodies and answers, one for each month of receipt ids."""

from datetime import date

from app.storage.connection import Connection, fetch_one

# A month's partition is made so many months before it.
_MONTHS_AHEAD = 3


def create(connection: Connection) -> list[str]:
    """Create the partitions that are missing of this month and the next; return their names."""
    created = connection.execute("SELECT name FROM kvitto.create_partitions(%s) AS name", [_MONTHS_AHEAD])
    return [row.name for row in created]


def state(connection: Connection) -> tuple[bool, date, date]:
    """Return whether rows are in no month's partition, the last month that has one, and the server's month."""
    query = """
        SELECT has_strays, last_month, date_trunc('month', now() AT TIME ZONE 'UTC')::date AS this_month
        FROM kvitto.partition_state()
    """
    has_strays, last_month, this_month = fetch_one(connection, query)
    return has_strays, last_month, this_month
