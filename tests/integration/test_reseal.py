"""`kvitto reseal` seals every sealed column again: none keeps a key that is about to go."""

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from psycopg.sql import SQL, Identifier
from uuid_utils.compat import uuid7

from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.errors import InvalidDeliveryError
from app.storage import bodies, overflow, rejected
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from app.storage.rejected import RejectedRequest
from tests.support.kvitto_process import run

OLD, NEW = b"o" * 32, b"n" * 32
NOW = datetime.now(UTC)
# Bytes that are no sealed body.
UNSEALED = {
    ("erased_digests", "digest"),
    ("console_sessions", "digest"),
    ("reveal_requests", "public_key"),
    ("reveal_requests", "answer"),
}


@pytest.fixture
def receipts(database: str) -> list[UUID]:
    """A body under the old key in every place that keeps one, by receipt."""
    old = SealingKeys((("old", OLD),))
    found = [uuid7() for _ in range(3)]
    stored, waiting = (Delivery(each, "kompar", "decisions", {}, old.seal(each, b"{}")) for each in found[:2])
    received = ReceivedDelivery(stored, NOW, UUID(int=1), StreamId(1, 1))
    ledger = Ledger(database, "kompar")
    ledger.store([ProcessedDelivery(received, InvalidDeliveryError("wrong-key", ""))])
    with ledger.connected() as connection:
        overflow.append(connection, waiting, NOW)
        sealed = old.seal(found[2], b"POST / HTTP/1.1")
        request = RejectedRequest(found[2], "kompar", "wrong-token", "::1", NOW, NOW, len(sealed), sealed)
        rejected.record(connection, [], [request])
    ledger.close()
    return found


def columns(connection: Connection) -> set[tuple[str, str]]:
    """Return every column of bytes."""
    query = """
        SELECT relname::text, attname::text FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'kvitto'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
          AND attnum > 0 AND NOT attisdropped
    """
    return {(row.relname, row.attname) for row in connection.execute(query)}


def columns_with(connection: Connection, prefix: bytes) -> set[tuple[str, str]]:
    """Return every column, of whatever type, that holds a body whose seal begins so."""
    query = SQL("SELECT FROM {} WHERE position(%s IN {}::text) > 0")
    return {
        (table, column)
        for table, column in columns(connection)
        if connection.execute(query.format(Identifier(table), Identifier(column)), [prefix.hex()]).rowcount
    }


@pytest.mark.usefixtures("receipts")
def test_every_sealed_column_is_found_by_its_content_and_no_column_of_bytes_is_forgotten(
    connection: Connection,
) -> None:
    places = set(map(tuple, bodies.places(connection)))
    assert columns_with(connection, SealingKeys((("old", OLD),)).prefix) == places
    query = """
        SELECT table_name, column_name FROM information_schema.columns JOIN pg_class ON relname = table_name
        WHERE table_schema = 'kvitto' AND relnamespace = 'kvitto'::regnamespace AND NOT relispartition
          AND data_type = 'bytea'
    """
    # A table that is new and keeps a sealed body has to be filled by the fixture, too.
    assert set(map(tuple, connection.execute(query))) - UNSEALED == places


def test_reseal_leaves_nothing_under_the_old_key_and_is_recorded(
    database: str, connection: Connection, receipts: list[UUID]
) -> None:
    keys = [f"{name}={base64.b64encode(key).decode()}" for name, key in (("new", NEW), ("old", OLD))]
    environment = {"DATABASE_URL": database, "SEALING_KEYS": ",".join(keys), "KVITTO_OPERATOR": "Ada"}
    planned = run("reseal", "--dry-run", environment=environment)
    assert planned.stdout == "3 bodies are under other keys\n", planned.stderr
    assert connection.execute("SELECT FROM access_log").rowcount == 0
    done = run("reseal", environment=environment)
    assert done.stdout == "3 bodies sealed again\n", done.stderr

    new = SealingKeys((("new", NEW), ("old", OLD)))
    assert columns_with(connection, SealingKeys((("old", OLD),)).prefix) == set()
    assert columns_with(connection, new.prefix) == set(map(tuple, bodies.places(connection)))
    (row,) = connection.execute("SELECT request FROM rejected_requests").fetchall()
    assert new.unseal(receipts[2], row.request) == b"POST / HTTP/1.1"
    (logged,) = connection.execute("SELECT action, operator, subject FROM access_log").fetchall()
    assert logged == ("reseal", "Ada", "3 bodies, key new")
