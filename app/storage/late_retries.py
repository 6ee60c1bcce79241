"""What operators found about late retries that may be a change back."""

from typing import NamedTuple
from uuid import UUID

from app.storage.connection import Connection


class Finding(NamedTuple):
    """Whether a late retry is a change back of its entity, and so a revision; who found it, and why."""

    is_change: bool
    reason: str
    operator: str


def record(connection: Connection, receipt: UUID, finding: Finding) -> None:
    """Record a finding, for good.

    Raises:
        LookupError: The receipt is no late retry by its time, or has a finding already.
    """
    query = """
        INSERT INTO late_retry_findings (receipt, is_change, reason, operator)
        SELECT receipt, %s, %s, %s FROM events WHERE receipt = %s AND retry_of IS NOT NULL
        ON CONFLICT DO NOTHING RETURNING receipt
    """
    if connection.execute(query, [*finding, receipt]).fetchone() is None:
        raise LookupError(f"{receipt} is no late retry that may be a change back, or was decided before")


def is_accepted(connection: Connection, receipt: UUID) -> bool:
    """Return whether an operator found that a receipt is a change back."""
    return (
        connection.execute("SELECT FROM late_retry_findings WHERE receipt = %s AND is_change", [receipt]).rowcount == 1
    )
