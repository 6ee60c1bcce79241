"""What dashboards read, in the shape that tests/support/model.py gives."""

from typing import Any
from uuid import UUID

from app.storage.connection import Connection
from tests.support.model import State

_STATES = {
    "decisions": "SELECT application_id AS entity, * FROM reporting.kompar_decisions",
    "applications": "SELECT application_id AS entity, * FROM reporting.kompar_applications",
    "FREELANCER_CREDIT_LINE_APPLICATION": "SELECT id AS entity, * FROM reporting.solaris_credit_lines",
}
_NOT_CONTENT = {
    "entity",
    "extra",
    "flags",
    "revision",
    "first_received_at",
    "last_received_at",
    "person_key",
    "company_key",
}


def deliveries(connection: Connection) -> dict[UUID, Any]:
    """Return entity, outcome, reason and time of every receipt."""
    query = "SELECT receipt, entity_id, outcome, reason, received_at FROM reporting.deliveries"
    return {row.receipt: tuple(row[1:]) for row in connection.execute(query)}


def events(connection: Connection) -> dict[UUID, Any]:
    """Return number, content, flags and time of every revision."""
    query = "SELECT receipt, revision, content, flags, received_at FROM reporting.events"
    return {row.receipt: tuple(row[1:]) for row in connection.execute(query)}


def states(connection: Connection, topic: str) -> dict[str, State]:
    """Return the entities of a topic as they stand."""
    return {row.entity: _state(row._asdict()) for row in connection.execute(_STATES[topic])}


def rates(connection: Connection) -> list[Any]:
    """Return time and rate of every change of an overdraft's rate."""
    query = "SELECT received_at, interest_accrual_rate FROM reporting.solaris_overdraft_rates"
    return sorted(map(tuple, connection.execute(query)))


def clear(connection: Connection) -> None:
    """Empty every table and start its numbers again; far faster than TRUNCATE where there are few rows."""
    # Each partition that was ever written: planning the others takes most of the time.
    query = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'kvitto'::regnamespace AND relkind = 'r'"
    names = connection.execute(f"{query} AND pg_relation_size(oid) > 0".encode()).fetchall()
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")  # in any order
        if names:
            connection.execute("; ".join(f"DELETE FROM {name}" for (name,) in names).encode())
        connection.execute("SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence")


def _state(row: dict[str, Any]) -> State:
    given = {key: value for key, value in row.items() if key not in _NOT_CONTENT} | row["extra"]
    content = {key: value for key, value in given.items() if value is not None}
    return State(content, row["flags"], row["revision"], row["first_received_at"], row["last_received_at"])
