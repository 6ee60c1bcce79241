"""The access log: who did what with the data of others, and why. Rows are added, and never changed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from app.storage.connection import Connection

Action = Literal[
    "reveal",
    "export",
    "erasure",
    "replay",
    "discard",
    "loss-accepted",
    "late-retry-accepted",
    "late-retry-dismissed",
    "subscription-requested",
    "subscription-adopted",
    "subscription-removal",
]


@dataclass(frozen=True, slots=True)
class Access:
    """An action of an operator, and what it is about; the server adds the time and the role of the connection."""

    action: Action
    operator: str
    reason: str | None = None
    provider: str | None = None
    receipt: UUID | None = None
    subject: str | None = None


def record(connection: Connection, access: Access) -> None:
    """Record an action, in the transaction of its effects, or before what it shows."""
    query = """
        INSERT INTO access_log (action, operator, reason, provider, receipt, subject)
        VALUES (%(action)s, %(operator)s, %(reason)s, %(provider)s, %(receipt)s, %(subject)s)
    """
    connection.execute(query, asdict(access))


def record_each(connection: Connection, access: Access, receipts: Sequence[UUID]) -> None:
    """Record an action once for each of the receipts that it is about."""
    for receipt in receipts:
        record(connection, replace(access, receipt=receipt))


def select(
    connection: Connection, action: str | None, receipt: UUID | None, since: datetime | None, limit: int
) -> list[dict[str, Any]]:
    """Return the newest actions, newest first; None selects all."""
    query = """
        SELECT logged_at, action, operator, role, reason, provider, receipt, subject FROM reporting.access_log
        WHERE action = coalesce(%s, action) AND (%s::uuid IS NULL OR receipt = %s)
          AND logged_at >= coalesce(%s, logged_at)
        ORDER BY number DESC LIMIT %s
    """
    return [row._asdict() for row in connection.execute(query, [action, receipt, receipt, since, limit])]
