"""Who opened a sealed body, and why: rows that the worker's role can add, and neither read nor change."""

from uuid import UUID

from app.storage.connection import Connection, translate_errors


def record(connection: Connection, receipt: UUID, reason: str, operator: str) -> None:
    """Note that `operator` is about to see what is sealed; committed when this returns.

    Raises:
        DataRejectedError: The ledger has no such receipt.
    """
    with translate_errors():
        connection.execute(
            "INSERT INTO body_access_log (receipt, reason, operator) VALUES (%s, %s, %s)", [receipt, reason, operator]
        )
