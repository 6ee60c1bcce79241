"""PgBouncer between the processes and Postgres, in each way that it shares sessions."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.inbox.stream import Inbox
from app.ingest.app import create_edge
from app.ingest.edge_secrets import EdgeSettings
from app.preflight.report import run_checks
from app.processing.processor import DeliveryProcessor
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from config.checks.result import only_faults
from config.secret_files import Rereading
from tests.integration.test_consumer import KOMPAR, SEALS, slot  # noqa: F401 - a fixture
from tests.integration.test_refusals import KEYS
from tests.support.kvitto_process import SECRETS, run
from tests.support.pgbouncer import pgbouncer
from tests.support.providers.kompar_fixtures import TOKEN
from tests.support.rsgi_client import RsgiClient
from workers.batch import BatchProcessor
from workers.canary_consumer import CanaryConsumer
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot

WAYS: dict[str, dict[str, str]] = {
    f"{mode}, {'options are ignored' if ignored else 'as it comes'}": {"pool_mode": mode} | ignored
    for mode in ("session", "transaction")
    for ignored in (dict[str, str](), {"ignore_startup_parameters": "options"})
}


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def pooler(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Iterator[str]:
    """The database behind a PgBouncer."""
    with pgbouncer(tmp_path, database, **request.param) as address:
        yield address


@pytest.fixture
def environment(pooler: str, redis: Redis, valkey_server: str) -> dict[str, str]:  # noqa: ARG001 - it is emptied
    return SECRETS | KEYS | {"DATABASE_URL": as_role(pooler, "ingest"), "REDIS_URL": valkey_server}


def as_role(address: str, process: str) -> str:
    return address.replace("//kvitto@", f"//kvitto_{process}@")


@pytest.fixture
def edge(environment: dict[str, str]) -> RsgiClient:
    return RsgiClient(create_edge(Rereading(EdgeSettings.read, environment), threading.Event()))


def test_deliveries_through_pgbouncer_reach_their_rows(
    edge: RsgiClient,
    pooler: str,
    redis: Redis,
    slot: ConsumerSlot,  # noqa: F811
    connection: Connection,
) -> None:
    """A few rounds: a driver prepares a statement that it has executed five times."""
    ledger = Ledger(as_role(pooler, "worker"), "kompar")
    canaries = CanaryConsumer(Inbox(redis, "canary/kompar"), ledger, SEALS, "kompar")
    processor = BatchProcessor(DeliveryProcessor(SEALS, KOMPAR), ledger)
    consumer = InboxConsumer(Inbox(redis, "kompar"), processor, slot, lambda: None, canaries)
    for number in range(8):
        for size in (1, 300_000):  # the second goes to the overflow
            body = json.dumps({"application_id": f"{number}-{size}", "email": "x" * size}).encode()
            headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
            assert edge.post("/webhooks/kompar/decisions", headers, body).status_code == 200
        consumer.sweep()
    ledger.close()
    rows = connection.execute("SELECT entity_id FROM reporting.deliveries WHERE outcome = 'stored'")
    assert {row.entity_id for row in rows} == {f"{number}-{size}" for number in range(8) for size in (1, 300_000)}
    (overflowed,) = connection.execute("SELECT count(*) AS rows FROM overflow WHERE ciphertext IS NULL")
    assert overflowed.rows >= 8  # on a slow machine small ones too: Redis took too long


def test_check_and_commands_work_through_pgbouncer(pooler: str, environment: dict[str, str]) -> None:
    worker = environment | {"DATABASE_URL": as_role(pooler, "worker")}
    for settings, process in ((environment, "ingest"), (worker, "worker")):
        report = run_checks(settings, [process])
        assert only_faults([*report.settings, *report.servers]) == []
        assert "postgres session" in {result.name for result in report.servers}
    for arguments in (("audit",), ("sql", "SELECT * FROM reporting.freshness"), ("dead-letters", "list")):
        done = run(*arguments, environment=worker)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("process", ["ingest", "worker", "console"])
def test_option_that_a_pooler_refuses_stops_the_start(
    process: str, tmp_path: Path, database: str, valkey_server: str
) -> None:
    with pgbouncer(tmp_path, database) as address:
        addresses = {"DATABASE_URL": f"{address}?options=-c%20geqo%3Doff", "REDIS_URL": valkey_server}
        environment = SECRETS | KEYS | addresses | {"CONSOLE_BIND": "127.0.0.1:0", "CONSOLE_PASSWORD": "p" * 20}
        for command in (process, "check"):
            done = run(command, environment=environment)
            assert done.returncode == 78
            assert "an option that the server or a pooler before it refuses: options" in " ".join(
                (done.stdout + done.stderr).split()
            )


def test_sessions_that_are_older_than_their_settings_are_reported(
    tmp_path: Path, database: str, connection: Connection, valkey_server: str
) -> None:
    with pgbouncer(tmp_path, database, pool_mode="transaction") as address:
        environment = SECRETS | KEYS | {"DATABASE_URL": as_role(address, "worker"), "REDIS_URL": valkey_server}
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = elsewhere".encode())
        assert run("sql", "SELECT 1", environment=environment).returncode == 0  # PgBouncer keeps its session
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = kvitto".encode())
        for command in ("worker", "audit"):
            done = run(command, environment=environment)
            assert done.returncode == 78, os.linesep.join((done.stdout, done.stderr))
            assert "search_path is 'elsewhere', not 'kvitto'" in done.stderr
            assert "RECONNECT" in done.stderr
