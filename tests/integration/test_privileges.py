"""What the role of a process may do in Postgres: processes know it, and do not go on without it."""

from collections.abc import Callable, Iterator
from contextlib import closing
from uuid import UUID

import pytest

from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.errors import InvalidDeliveryError, StoreUnavailableError
from app.ingest.circuit_breaker import PostgresProbe
from app.storage import privileges
from app.storage.connection import Connection, borrow, connect
from app.storage.ledger import Ledger
from app.storage.pool import Pool
from app.storage.privileges import Privilege
from app.storage.server_info import server_info

PROCESSES = ("ingest", "worker", "console")
RECEIVED_AT = StreamId(1_700_000_000_000, 1)
DELIVERY = ReceivedDelivery(
    Delivery(UUID(int=1), "kompar", "decisions", {}, b"sealed"), RECEIVED_AT.received_at, UUID(int=1), RECEIVED_AT
)
DEAD_LETTER = ProcessedDelivery(DELIVERY, InvalidDeliveryError("wrong-key", "no key opens it"))


def as_role(database: str, role: str) -> str:
    return database.replace("//kvitto@", f"//{role}@")


def granted(connection: Connection, role: str) -> set[Privilege]:
    """Return what the server says that a role was granted."""
    query = """
        SELECT privilege_type, 'SCHEMA' AS kind, nspname::text AS schema, '' AS name, '' AS column_name
        FROM pg_namespace, aclexplode(nspacl) WHERE grantee = %(role)s::regrole
        UNION ALL
        SELECT privilege_type, 'TABLE', relnamespace::regnamespace::text, relname::text, ''
        FROM pg_class, aclexplode(relacl) WHERE grantee = %(role)s::regrole
        UNION ALL
        SELECT privilege_type, 'TABLE', relnamespace::regnamespace::text, relname::text, attname::text
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid, aclexplode(attacl)
        WHERE grantee = %(role)s::regrole
        UNION ALL
        SELECT privilege_type, 'FUNCTION', pronamespace::regnamespace::text, proname::text, ''
        FROM pg_proc, aclexplode(proacl) WHERE grantee = %(role)s::regrole
    """
    return {Privilege(*row) for row in connection.execute(query, {"role": role})}


@pytest.mark.parametrize("process", PROCESSES)
def test_needed_privileges_are_those_that_a_migrated_database_has(database: str, process: str) -> None:
    with connect(database, "test") as owner:
        needed = set(privileges.needed(process)) - {Privilege("USAGE", "SCHEMA", "public")}
        assert needed == granted(owner, f"kvitto_{process}")
    with connect(as_role(database, f"kvitto_{process}"), "test") as connection:
        assert privileges.missing(connection, process) == []


@pytest.fixture
def owner(database: str) -> Iterator[Connection]:
    with connect(database, "test") as connection:
        yield connection


@pytest.fixture
def taken(owner: Connection) -> Iterator[Callable[[str, str], None]]:
    """Return what takes a privilege from a role until the end of the test."""
    given_back = []

    def take(privilege: str, role: str) -> None:
        owner.execute(f"REVOKE {privilege} FROM {role}".encode())
        given_back.append(f"GRANT {privilege} TO {role}".encode())

    yield take
    for statement in given_back:
        owner.execute(statement)


@pytest.mark.parametrize("role", ["kvitto_worker", "kvitto_console"])
def test_probe_in_the_role_of_another_process_fails_before_any_delivery(database: str, role: str) -> None:
    lacks = f"{role} lacks .*, which ingest needs"
    with (
        closing(Pool(as_role(database, role), "ingest", 3)) as pool,
        pytest.raises(StoreUnavailableError, match=lacks) as error,
    ):
        PostgresProbe(pool, ())()
    assert error.value.reason == "postgres-no-permission"
    assert "DATABASE_URL" in error.value.detail


@pytest.mark.parametrize("role", ["kvitto_ingest", "kvitto_console"])
def test_ledger_in_the_role_of_another_process_is_unavailable(database: str, role: str) -> None:
    with (
        closing(Ledger(as_role(database, role), "kompar")) as ledger,
        pytest.raises(StoreUnavailableError, match="which worker needs") as error,
    ):
        ledger.store([DEAD_LETTER])
    assert error.value.reason == "postgres-no-permission"


@pytest.mark.parametrize(
    ("privilege", "named"),
    [("INSERT ON kvitto.receipts", "table receipts"), ("USAGE ON SCHEMA kvitto", "schema kvitto")],
)
def test_a_right_that_is_taken_at_run_time_makes_deliveries_wait(
    database: str, taken: Callable[[str, str], None], privilege: str, named: str
) -> None:
    with closing(Ledger(as_role(database, "kvitto_worker"), "kompar")) as ledger:
        ledger.check()
        taken(privilege, "kvitto_worker")
        with pytest.raises(StoreUnavailableError, match=f"permission denied for {named}") as error:
            ledger.store([DEAD_LETTER])
    assert error.value.reason == "postgres-no-permission"


def test_a_statement_without_permission_is_no_bug(database: str) -> None:
    with (
        connect(as_role(database, "kvitto_ingest"), "test") as connection,
        pytest.raises(StoreUnavailableError, match="permission denied for table receipts"),
        borrow(connection),
    ):
        connection.execute("SELECT FROM receipts")


@pytest.mark.parametrize("process", PROCESSES)
def test_facts_of_the_server_are_read_without_an_error_in_its_log(database: str, process: str) -> None:
    with connect(as_role(database, f"kvitto_{process}"), "test") as connection, connection.transaction():
        facts = server_info(connection, [process])  # a failed statement would end the transaction
    assert (facts["partitions"] is None) == (process != "worker")
