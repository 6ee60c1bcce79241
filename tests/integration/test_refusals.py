"""Start-up fails on servers that could lose a delivery, with the reason and a hint."""

import base64
from pathlib import Path

import pytest

from app.storage.connection import connect
from tests.support import servers
from tests.support.kvitto_process import SECRETS, run
from tests.support.ports import free_port

KEYS = {
    "SEALING_KEYS": f"a={base64.b64encode(b's' * 32).decode()}",
    "FINGERPRINT_KEY": base64.b64encode(b"f" * 32).decode(),
    "INGEST_BIND": "127.0.0.1:0",
    "CONSOLE_BIND": "127.0.0.1:0",
    "CONSOLE_PASSWORD": "p" * 20,
}


def startup_failure(process: str, database: str, redis: str, **more: str) -> str:
    """Start a process that must fail; return its standard error."""
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
def test_start_on_a_redis_that_could_lose_a_write_fails(
    tmp_path: Path, database: str, process: str, setting: str, value: str
) -> None:
    with servers.valkey(tmp_path, f"--{setting}", value) as redis:
        error = startup_failure(process, database, redis)
    assert f"redis {setting}" in error
    assert f"CONFIG SET {setting}" in error
    assert f"ALLOW_NON_DURABLE=redis.{setting}" in error
    assert "DURABLE_STORE=postgres" in error


@pytest.mark.parametrize("process", ["ingest", "worker"])
@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_start_on_a_postgres_without_fsync_fails(
    tmp_path: Path, valkey_server: str, process: str, setting: str
) -> None:
    with servers.postgres(tmp_path, "-c", f"{setting}=off") as database:
        error = startup_failure(process, database, valkey_server)
    assert f"postgres {setting}" in error
    assert "Set " in error


@pytest.mark.parametrize(
    ("process", "role"),
    [("ingest", "console"), ("ingest", "worker"), ("worker", "ingest"), ("worker", "console"), ("console", "ingest")],
)
def test_start_in_the_role_of_another_process_fails(database: str, valkey_server: str, process: str, role: str) -> None:
    error = startup_failure(process, database.replace("//kvitto@", f"//kvitto_{role}@"), valkey_server)
    assert f"postgres privileges: kvitto_{role} lacks " in error
    assert f"such as kvitto_{process}" in error


@pytest.mark.parametrize("process", ["ingest", "worker"])
def test_start_on_a_redis_cluster_fails(tmp_path: Path, database: str, process: str) -> None:
    with servers.valkey(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as redis:
        error = startup_failure(process, database, redis)
    assert "redis mode: cluster" in error


def test_start_on_a_writable_replica_fails(tmp_path: Path, database: str) -> None:
    options = ("--replicaof", "127.0.0.1 1", "--replica-read-only", "no")
    with servers.valkey(tmp_path, *options) as redis:
        error = startup_failure("ingest", database, redis)
    assert "redis replica-read-only" in error
    assert "Name the primary" in error


@pytest.mark.parametrize("process", ["ingest", "worker", "console"])
def test_start_on_a_database_of_another_encoding_fails(postgres_server: str, valkey_server: str, process: str) -> None:
    with connect(postgres_server, "test") as connection:
        connection.execute("DROP DATABASE IF EXISTS ascii")
        connection.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'")
    error = startup_failure(process, postgres_server.replace("/postgres", "/ascii"), valkey_server)
    assert "postgres encoding: is SQL_ASCII" in error
    assert "kvitto migrate" in error


@pytest.mark.parametrize("process", ["ingest", "worker", "console"])
def test_start_on_a_database_without_migrations_fails(postgres_server: str, valkey_server: str, process: str) -> None:
    assert "kvitto migrate" in startup_failure(process, postgres_server, valkey_server)


def test_start_without_settings_reports_all_at_once(database: str, valkey_server: str) -> None:
    error = startup_failure(
        "worker", database, valkey_server, SEALING_KEYS="", KOMPAR_KEYS="nolabel", FINGERPRINT_KEY="x"
    )
    assert all(name in error for name in ("SEALING_KEYS", "KOMPAR_KEYS", "FINGERPRINT_KEY"))


@pytest.mark.parametrize(
    ("path", "problem"), [("/nowhere", "FileNotFoundError"), (__file__, "SSLError")], ids=["missing", "no certificates"]
)
@pytest.mark.parametrize("command", ["check beat", "beat", "sandbox send kompar --url https://localhost:1"])
def test_client_of_https_names_the_authorities_that_it_cannot_read(
    valkey_server: str, command: str, path: str, problem: str
) -> None:
    canaries = {"INGEST_URL": "https://localhost:1", "CANARY_SECRET": "c" * 32}
    given = canaries | {"SSL_CERT_FILE": path, "REDIS_URL": valkey_server}
    done = run(*command.split(), environment=SECRETS | given)
    assert done.returncode == 78, done.stderr
    said = done.stdout + done.stderr
    assert f"cannot be used ({problem})" in said
    assert "SSL_CERT_FILE" in said
    assert "Name a readable file" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("process", ["ingest", "worker", "beat"])
def test_start_with_a_provider_without_a_folder_fails(database: str, valkey_server: str, process: str) -> None:
    assert "'nobody', which has no folder" in startup_failure(process, database, valkey_server, PROVIDERS="nobody")


@pytest.mark.parametrize("process", ["ingest", "worker", "console"])
def test_start_with_options_that_change_its_sessions_fails(database: str, valkey_server: str, process: str) -> None:
    address = f"{database}?options=-c%20search_path%3Delsewhere"
    error = startup_failure(process, address, valkey_server)
    assert "postgres session: search_path is 'elsewhere', not 'kvitto'" in error


@pytest.mark.parametrize("process", ["ingest", "worker", "console"])
def test_start_with_options_that_kvitto_sets_itself_fails(database: str, valkey_server: str, process: str) -> None:
    error = startup_failure(process, f"{database}?connect_timeout=60", valkey_server)
    assert "DATABASE_URL: holds connect_timeout" in error


def test_start_on_another_collation_is_logged(postgres_server: str) -> None:
    with connect(postgres_server, "test") as connection:
        locale = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
        connection.execute(f"CREATE DATABASE collated TEMPLATE template0 {locale}".encode())
    address = postgres_server.replace("/postgres", "/collated")
    with connect(address, "test") as connection:
        connection.execute("UPDATE pg_database SET datcollversion = '0' WHERE datname = 'collated'")
    error = startup_failure("worker", address, "redis://127.0.0.1:1/0")  # it lacks the migrations, too
    assert "started_without_store" in error
    assert "the database was made under version 0" in error
    assert "postgres migrations" in error
