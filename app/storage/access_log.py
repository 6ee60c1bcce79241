"""The access log: who did what with the data of others, and why. Rows are added, and never changed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from app.storage.connection import Connection

Action = Literal[
    "reveal",
    "export",
    "erasure",
    "replay",
    "discard",
    "readmission",
    "reseal",
    "retention",
    "loss-accepted",
    "late-retry-accepted",
    "late-retry-dismissed",
    "subscription-requested",
    "subscription-adopted",
    "subscription-removal",
    "login",
    "logout",
    "search",
    "dry-run",
    "job-requested",
    "job-cancelled",
    "download",
    "user-set",
    "user-removed",
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


class Wanted(NamedTuple):
    """Which actions to select; None selects all. `before` is the number of an action: older ones are selected."""

    action: str | None = None
    receipt: UUID | None = None
    since: datetime | None = None
    before: int | None = None


def select(connection: Connection, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """Return the newest actions, newest first."""
    query = """
        SELECT number, logged_at, action, operator, role, reason, provider, receipt, subject FROM reporting.access_log
        WHERE (%(action)s::text IS NULL OR action COLLATE "C" = %(action)s)
          AND (%(receipt)s::uuid IS NULL OR receipt = %(receipt)s)
          AND logged_at >= coalesce(%(since)s, logged_at) AND number < coalesce(%(before)s, number + 1)
        ORDER BY number DESC LIMIT %(limit)s
    """
    return [row._asdict() for row in connection.execute(query, wanted._asdict() | {"limit": limit})]
