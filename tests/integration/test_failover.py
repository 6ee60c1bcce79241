"""A fail-over of Postgres: pools, ledgers and commands leave the server that takes no writes."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from uuid_utils.compat import uuid7

from app.domain.delivery import Delivery, StreamId
from app.errors import StoreUnavailableError
from app.storage import feed, overflow
from app.storage.connection import connect, session
from app.storage.ledger import Ledger
from app.storage.pool import Pool
from app.storage.usability import require_writable
from tests.chaos.proxy import Proxy
from tests.integration.test_ledger import processed
from tests.support import databases, servers
from tests.support.pgbouncer import pgbouncer
from tests.support.servers import eventually

_COUNT = "SELECT (SELECT count(*) FROM kvitto.overflow) AS overflow, (SELECT count(*) FROM kvitto.receipts) AS receipts"


class Clients:
    """What ingest, workers and the console use, with connections of their own to one address."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.pool = Pool(dsn, "ingest", 1.5)
        self.ledger = Ledger(dsn, "kompar")
        self._stored = 0

    def append(self) -> None:
        delivery = Delivery(uuid7(), "kompar", "decisions", {}, b"sealed")
        self.pool.run(lambda connection: overflow.append(connection, delivery, StreamId(1, 1).received_at))

    def store(self) -> None:
        self._stored += 1
        self.ledger.store([processed(self._stored, self._stored, {"application_id": "a"})])

    def read(self) -> None:
        with session(self._dsn, "console") as connection:
            require_writable(connection)

    @property
    def uses(self) -> tuple[Callable[[], None], ...]:
        return self.append, self.store, self.read


def works(use: Callable[[], object]) -> bool:
    try:
        use()
    except StoreUnavailableError:
        return False
    return True


def counts(dsn: str) -> tuple[int, int]:
    with connect(dsn, "test") as connection:
        (row,) = connection.execute(_COUNT)
    return row.overflow, row.receipts


@pytest.fixture
def primary(tmp_path: Path) -> Path:
    """The folder of a migrated server, which was stopped."""
    folder = tmp_path / "primary"
    folder.mkdir()
    with servers.postgres(folder) as dsn:
        databases.prepare(dsn)
    tmp_path.chmod(0o755)
    return folder


@pytest.fixture
def pair(primary: Path, tmp_path: Path) -> Iterator[tuple[str, str, subprocess.Popen[bytes]]]:
    """A primary and its standby: an address that names both, the standby's, and the primary's process."""
    folder = tmp_path / "standby"
    eventually(lambda: not (primary / "postgres" / "postmaster.pid").exists(), "the first run has ended")
    subprocess.run(["cp", "-a", primary, folder], check=True)
    (folder / "postgres" / "standby.signal").touch()
    with servers.postgres_process(primary) as (first, process):
        host = first.partition("@")[2].partition("/")[0]
        follow = f"primary_conninfo=host=127.0.0.1 port={host.rpartition(':')[2]} user=kvitto"
        with servers.postgres(folder, "-c", follow) as second:
            other = second.partition("@")[2].partition("/")[0]
            yield (
                f"postgresql://kvitto@{host},{other}/template_kvitto",
                databases.named(second, "template_kvitto"),
                process,
            )


def test_clients_of_several_hosts_follow_the_primary(pair: tuple[str, str, subprocess.Popen[bytes]]) -> None:
    both, standby, process = pair
    clients = Clients(both)
    for use in clients.uses:
        eventually(lambda use=use: works(use), f"{use.__name__} before")  # type: ignore[misc]
    with pytest.raises(StoreUnavailableError, match="postgres-read-only"):
        connect(standby, "test")
    with psycopg.connect(standby, autocommit=True) as connection:
        query = f"SELECT * FROM ({_COUNT}) AS counts WHERE overflow = 1 AND receipts = 1"
        eventually(lambda: connection.execute(query).rowcount == 1, "the standby has it all")
        process.kill()
        connection.execute("SELECT pg_promote()")
    for use in clients.uses:
        eventually(lambda use=use: works(use), f"{use.__name__} after the fail-over")  # type: ignore[misc]
    clients.ledger.close()
    assert counts(standby) == (2, 2)


def test_feed_goes_on_after_a_fail_over_and_consumers_take_each_change_once(
    pair: tuple[str, str, subprocess.Popen[bytes]],
) -> None:
    both, standby, process = pair
    taken: list[int] = []

    def take(limit: int) -> int:
        """Take the next changes; return the cursor."""
        with session(both.replace("//kvitto@", "//kvitto_consumer@"), "consumer") as connection:
            with connection.transaction():
                rows = feed.read_unconfirmed(connection, "scoring", "kompar", limit)
                feed.confirm(connection, "scoring", "kompar", rows[-1]["position"])
            taken.extend(row["receipt"].int for row in rows)
            return int(rows[-1]["position"])

    with closing(Ledger(both, "kompar")) as ledger:
        ledger.store([processed(number, number, {"application_id": str(number)}) for number in (1, 2, 3)])
        assert take(2) == 2
        with psycopg.connect(standby, autocommit=True) as connection:
            query = "SELECT FROM kvitto.feed_cursors WHERE position = 2"
            eventually(lambda: connection.execute(query).rowcount == 1, "the standby has it all")
            process.kill()
            connection.execute("SELECT pg_promote()")
        later = [processed(4, 4, {"application_id": "4"})]
        eventually(lambda: works(lambda: ledger.store(later)), "a batch after the fail-over")
    assert take(100) == 4
    assert taken == [1, 2, 3, 4]


def test_clients_of_one_address_leave_a_server_that_became_read_only(primary: Path, tmp_path: Path) -> None:
    """The address leads to the new primary, while the old one keeps the connections that it has."""
    eventually(lambda: not (primary / "postgres" / "postmaster.pid").exists(), "the first run has ended")
    subprocess.run(["cp", "-a", primary, tmp_path / "next"], check=True)
    with servers.postgres(primary) as first, servers.postgres(tmp_path / "next") as second:
        old, new = databases.named(first, "template_kvitto"), databases.named(second, "template_kvitto")
        address = Proxy(old, b"none")
        clients = Clients(address.url)
        for use in clients.uses:
            eventually(lambda use=use: works(use), f"{use.__name__} before")  # type: ignore[misc]
        before = counts(old)
        with psycopg.connect(old, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            connection.execute("SELECT pg_reload_conf()")
            eventually(lambda: not works(clients.append), "read-only")
            with pytest.raises(StoreUnavailableError, match="postgres-read-only"):
                clients.read()
            address.lead_to(new)
        for use in clients.uses:
            eventually(lambda use=use: works(use), f"{use.__name__} after the fail-over")  # type: ignore[misc]
        clients.ledger.close()
        assert counts(new) == (1, 1)
        assert before == (1, 1)
        address.close()


def test_clients_behind_pgbouncer_follow_a_server_that_is_promoted(
    pair: tuple[str, str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """PgBouncer goes on to repeat that the server was a standby when it first connected to it."""
    _, standby, process = pair
    with pgbouncer(tmp_path, standby) as address:
        clients = Clients(address)
        for use in (clients.store, clients.read):
            with pytest.raises(StoreUnavailableError, match="postgres-read-only"):
                use()
        process.kill()
        with psycopg.connect(standby, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
        for use in clients.uses:
            eventually(lambda use=use: works(use), f"{use.__name__} after the promotion")  # type: ignore[misc]
        clients.ledger.close()
    assert counts(standby) == (1, 1)
