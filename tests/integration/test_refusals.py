"""Servers that could lose a delivery are refused at start, with the reason and the mend."""

import base64
from pathlib import Path

import pytest

from app.storage.connection import connect
from app.storage.migration_runner import migrate
from tests import servers
from tests.kvitto_process import SECRETS, run
from tests.ports import free_port

KEYS = {
    "SEALING_KEYS": f"a={base64.b64encode(b's' * 32).decode()}",
    "FINGERPRINT_KEY": base64.b64encode(b"f" * 32).decode(),
    "INGEST_BIND": "127.0.0.1:0",
}


def refusal(process: str, database: str, redis: str, **more: str) -> str:
    """Start a process that must refuse; return what it says."""
    done = run(process, environment=SECRETS | KEYS | {"DATABASE_URL": database, "REDIS_URL": redis} | more)
    assert done.returncode == 78, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("process", ["ingest", "worker"])
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("maxmemory-policy", "allkeys-lru"),
        ("no-appendfsync-on-rewrite", "yes"),
    ],
)
def test_a_redis_that_evicts_or_does_not_persist(
    tmp_path: Path, database: str, process: str, setting: str, value: str
) -> None:
    with servers.valkey(tmp_path, f"--{setting}", value) as redis:
        said = refusal(process, database, redis)
    assert f"redis {setting}" in said
    assert f"CONFIG SET {setting}" in said
    assert "ALLOW_NON_DURABLE=redis" in said


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_postgres_that_does_not_fsync(tmp_path: Path, valkey_server: str, setting: str) -> None:
    with servers.postgres(tmp_path, "-c", f"{setting}=off") as database:
        with connect(database, "test") as connection:
            migrate(connection)
        said = refusal("worker", database, valkey_server)
    assert f"postgres {setting}" in said
    assert "Set " in said


@pytest.mark.parametrize("process", ["ingest", "worker"])
def test_a_redis_that_can_never_be_an_inbox(tmp_path: Path, database: str, process: str) -> None:
    with servers.valkey(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as redis:
        said = refusal(process, database, redis, ALLOW_NON_DURABLE="redis,postgres")
    assert "redis mode: cluster" in said


def test_a_replica_that_forgets_what_it_took(tmp_path: Path, database: str) -> None:
    options = ("--replicaof", "127.0.0.1 1", "--replica-read-only", "no")
    with servers.valkey(tmp_path, *options) as redis:
        said = refusal("ingest", database, redis)
    assert "redis replica-read-only" in said
    assert "Name the primary" in said


def test_a_database_that_can_never_be_the_ledger(postgres_server: str, valkey_server: str) -> None:
    with connect(postgres_server, "test") as connection:
        connection.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'")
    said = refusal(
        "worker", postgres_server.replace("/postgres", "/ascii"), valkey_server, ALLOW_NON_DURABLE="redis,postgres"
    )
    assert "postgres encoding: is SQL_ASCII" in said
    assert "kvitto migrate" in said


def test_a_database_without_migrations(postgres_server: str, valkey_server: str) -> None:
    assert "kvitto migrate" in refusal("worker", postgres_server, valkey_server)


def test_everything_that_is_missing_is_told_at_once(database: str, valkey_server: str) -> None:
    said = refusal("worker", database, valkey_server, SEALING_KEYS="", KOMPAR_KEYS="nolabel", FINGERPRINT_KEY="x")
    assert all(name in said for name in ("SEALING_KEYS", "KOMPAR_KEYS", "FINGERPRINT_KEY"))


@pytest.mark.parametrize("process", ["ingest", "worker", "beat"])
def test_a_provider_without_a_folder(database: str, valkey_server: str, process: str) -> None:
    assert "'nobody', which has no folder" in refusal(process, database, valkey_server, PROVIDERS="nobody")
