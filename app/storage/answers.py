"""How ingest answered deliveries: evidence on whether a provider had a reason to try again."""

from collections.abc import Collection, Iterable
from typing import NamedTuple
from uuid import UUID

from app.storage.connection import Connection, columns


class Answer(NamedTuple):
    """One answer: milliseconds from the request's headers to its end, and whether the sender still listened then."""

    receipt: UUID
    milliseconds: int
    complete: bool


def record(connection: Connection, answers: Collection[Answer]) -> None:
    """Record answers. What is recorded already stays as it is."""
    query = """
        INSERT INTO answers (receipt, milliseconds, complete)
        SELECT * FROM unnest(%b::uuid[], %b::integer[], %b::boolean[])
        ON CONFLICT DO NOTHING
    """
    connection.execute(query, columns(answers))


def find(connection: Connection, receipts: Iterable[UUID]) -> dict[UUID, Answer]:
    """Return the recorded answers to these receipts."""
    query = "SELECT receipt, milliseconds, complete FROM answers WHERE receipt = ANY(%s)"
    return {row.receipt: Answer(*row) for row in connection.execute(query, [list(receipts)])}
