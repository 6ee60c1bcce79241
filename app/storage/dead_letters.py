"""Dead letters: deliveries that could not be opened, validated or stored, kept sealed until they can."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.outcome import Outcome
from app.storage.connection import Connection

_COLUMNS = "receipt, provider, topic, dead_letters.reason, detail, received_at, replayed_at"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters; every part that is None selects all."""

    receipt: UUID | None = None
    provider: str | None = None
    reason: str | None = None
    since: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the values for `_SELECTED`."""
        return {
            "receipt": self.receipt,
            "provider": self.provider,
            "reason": self.reason,
            "since": self.since,
        }


_SELECTED = """
    outcome = 'dead'
    AND receipt = coalesce(%(receipt)s, receipt) AND provider = coalesce(%(provider)s, provider)
    AND dead_letters.reason = coalesce(%(reason)s, dead_letters.reason)
    AND received_at >= coalesce(%(since)s, received_at)
"""


def select(connection: Connection, selection: Selection, limit: int | None = None) -> list[dict[str, Any]]:
    """Return dead letters, oldest first."""
    rows = connection.execute(
        f"""
        SELECT {_COLUMNS} FROM dead_letters JOIN receipts USING (receipt)
        WHERE {_SELECTED} ORDER BY received_at, receipt LIMIT %(limit)s
        """,  # noqa: S608 - constants
        selection.parameters() | {"limit": limit},
    )
    return [row._asdict() for row in rows]


def insert(connection: Connection, outcomes: Mapping[UUID, Outcome]) -> None:
    """Note why receipts are dead letters."""
    for receipt, outcome in outcomes.items():
        if outcome.name == "dead":
            connection.execute(
                """
                INSERT INTO dead_letters (receipt, reason, detail) VALUES (%s, %s, %s)
                ON CONFLICT (receipt) DO UPDATE SET reason = excluded.reason, detail = excluded.detail
                """,
                [receipt, outcome.reason, outcome.detail],
            )


def record_replayed(connection: Connection, outcomes: Mapping[UUID, Outcome]) -> None:
    """Note that what was a dead letter is none any more."""
    replayed = [receipt for receipt, outcome in outcomes.items() if outcome.name != "dead"]
    connection.execute("UPDATE dead_letters SET replayed_at = clock_timestamp() WHERE receipt = ANY(%s)", [replayed])


def find(connection: Connection, receipt: UUID) -> dict[str, Any] | None:
    """Return one receipt that is or was a dead letter, with the size of its sealed body in bytes."""
    row = connection.execute(
        f"""
        SELECT {_COLUMNS}, outcome::text AS outcome, processed_at, octet_length(ciphertext) AS sealed_bytes
        FROM dead_letters JOIN receipts USING (receipt) JOIN bodies USING (receipt)
        WHERE receipt = %s
        """,  # noqa: S608 - constants
        [receipt],
    ).fetchone()
    return row and row._asdict()
