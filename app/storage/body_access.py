"""The log of who opened a sealed body, and why. The worker's role adds rows; it can neither read nor change them."""

from uuid import UUID

from app.storage.connection import Connection, translate_errors


def record(connection: Connection, receipt: UUID, reason: str, operator: str) -> None:
    """Record that `operator` is about to see a body; committed when this returns.

    Raises:
        DataRejectedError: The ledger has no such receipt.
    """
    with translate_errors():
        connection.execute(
            "INSERT INTO body_access_log (receipt, reason, operator) VALUES (%s, %s, %s)", [receipt, reason, operator]
        )
