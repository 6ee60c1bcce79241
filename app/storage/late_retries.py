"""What operators found about late retries that may be a change back."""

from uuid import UUID

from app.storage import access_log
from app.storage.access_log import Access
from app.storage.connection import Connection


def record(connection: Connection, receipt: UUID, is_change: bool, operator: str, reason: str) -> None:
    """Record whether a late retry is a change back of its entity, and so a revision; for good, in a transaction.

    Raises:
        LookupError: The receipt is no late retry by its time, or has a finding already.
    """
    query = """
        INSERT INTO late_retry_findings (receipt, is_change)
        SELECT receipt, %s FROM events WHERE receipt = %s AND retry_of IS NOT NULL
        ON CONFLICT DO NOTHING RETURNING receipt
    """
    if connection.execute(query, [is_change, receipt]).fetchone() is None:
        raise LookupError(f"{receipt} is no late retry that may be a change back, or was decided before")
    action: access_log.Action = "late-retry-accepted" if is_change else "late-retry-dismissed"
    access_log.record(connection, Access(action, operator, reason, receipt=receipt))


def is_accepted(connection: Connection, receipt: UUID) -> bool:
    """Return whether an operator found that a receipt is a change back."""
    return (
        connection.execute("SELECT FROM late_retry_findings WHERE receipt = %s AND is_change", [receipt]).rowcount == 1
    )
