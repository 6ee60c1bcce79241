"""Each process has its own role and its own settings, and no other's."""

from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from app.domain.delivery import StreamId
from app.domain.high_water_mark import HighWaterMark
from app.local.stack import Process, processes
from app.storage.connection import Connection, connect
from app.storage.high_water_marks import forget_confirmed, record
from tests.support.kvitto_process import Running, run
from tests.support.providers.provider_fixtures import names
from tests.support.servers import eventually, postgres

PROCESSES = processes(names())
BY_NAME = {process.name: process for process in PROCESSES}
# What each role must not do, tried on the schema as it is.
REFUSED = {
    "kvitto_ingest": [
        "SELECT * FROM kvitto.receipts",
        "SELECT * FROM kvitto.bodies",
        "SELECT * FROM kvitto.kompar_applications",
        "SELECT * FROM reporting.deliveries",
        "INSERT INTO kvitto.access_log DEFAULT VALUES",
        "SELECT receipt FROM kvitto.overflow",
        "SELECT * FROM kvitto.inbox_high_water_marks",
        "UPDATE kvitto.inbox_high_water_marks SET appended = 0",
        "DELETE FROM kvitto.inbox_high_water_marks",
        "SELECT * FROM kvitto.answers",
        "UPDATE kvitto.answers SET complete = true",
        "SELECT kvitto.forget_confirmed_marks('kompar')",
        "SELECT kvitto.retire_receipts('kompar', '2020-01-01', 10)",
        "SELECT kvitto.create_partitions(3)",
    ],
    "kvitto_worker": [
        "DELETE FROM kvitto.receipts",
        "DELETE FROM kvitto.receipts_other",
        "DELETE FROM kvitto.retired_receipts",
        "UPDATE kvitto.archived_counts SET entries = 0",
        "SELECT kvitto.create_month('2026-01-01')",
        "DELETE FROM kvitto.events",
        "UPDATE kvitto.bodies SET ciphertext = ''",
        "DELETE FROM kvitto.bodies",
        "SELECT * FROM kvitto.access_log",
        "SELECT * FROM reporting.access_log",
        "INSERT INTO kvitto.access_log (action, operator, role) VALUES ('reveal', 'me', 'another')",
        "UPDATE kvitto.access_log SET reason = 'another'",
        "DELETE FROM kvitto.access_log",
        "UPDATE kvitto.inbox_high_water_marks SET appended = 0",
        "DELETE FROM kvitto.inbox_high_water_marks",
        "UPDATE kvitto.accepted_losses SET entries = 1",
        "DELETE FROM kvitto.accepted_losses",
        "UPDATE kvitto.late_retry_findings SET is_change = true",
        "DELETE FROM kvitto.late_retry_findings",
        "INSERT INTO kvitto.answers VALUES (gen_random_uuid(), 0, true)",
        "DELETE FROM kvitto.overflow",
        "DELETE FROM kvitto.canaries",
        "TRUNCATE kvitto.receipts",
        "CREATE TABLE kvitto.mine ()",
        "CREATE ROLE mine",
    ],
    "kvitto_console": [
        "SELECT * FROM kvitto.receipts",
        "UPDATE kvitto.access_log SET reason = 'another'",
        "DELETE FROM kvitto.access_log",
        "INSERT INTO kvitto.console_users VALUES ('mine', 'operator', 'hash')",
        "SELECT * FROM kvitto.bodies",
        "DELETE FROM reporting.deliveries",
        "CREATE TEMPORARY TABLE mine ()",
    ],
    "kvitto_privacy": [
        "SELECT * FROM kvitto.access_log",
        "SELECT * FROM reporting.deliveries",
        "INSERT INTO kvitto.access_log (action, operator) VALUES ('reveal', 'me')",
        "DELETE FROM reporting.access_log",
    ],
    "kvitto_dashboard": [
        "SELECT * FROM kvitto.receipts",
        "SELECT * FROM reporting.access_log",
        "SELECT * FROM kvitto.events",
        "CREATE TEMPORARY TABLE mine ()",
    ],
}


@pytest.mark.parametrize(
    ("role", "statement"), [(role, statement) for role, statements in REFUSED.items() for statement in statements]
)
def test_a_role_is_refused_what_is_not_its_own(kvitto: Running, role: str, statement: str) -> None:
    with (
        psycopg.connect(kvitto.database.replace("//kvitto@", f"//{role}@")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_the_console_and_dashboards_read_what_is_reported(database: str) -> None:
    for role in ("kvitto_console", "kvitto_dashboard", "kvitto_worker"):
        with psycopg.connect(database.replace("//kvitto@", f"//{role}@")) as connection:
            names = connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'").fetchall()
            assert {("deliveries",), ("access_log",)} <= set(names)
            hidden = set() if role == "kvitto_console" else {("access_log",)}
            for (name,) in set(names) - hidden:
                assert connection.execute(f"SELECT * FROM reporting.{name}".encode()).fetchall() == []


def test_the_privacy_role_reads_the_access_log(database: str, connection: Connection) -> None:
    connection.execute("INSERT INTO access_log (action, operator, reason) VALUES ('reveal', 'Grace', 'case 4711')")
    with psycopg.connect(database.replace("//kvitto@", "//kvitto_privacy@")) as own:
        (row,) = own.execute("SELECT action, operator, role, reason FROM reporting.access_log").fetchall()
    assert row == ("reveal", "Grace", "kvitto", "case 4711")


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_a_process_is_given_its_own_settings_only(kvitto: Running, process: Process) -> None:
    known = {name for each in PROCESSES for name in each.own_settings(kvitto.environment)}
    given = process.own_environment(kvitto.environment, known).keys()
    assert given & known <= process.own_settings(kvitto.environment)
    assert {name for name in given if name.endswith("_FILE")} <= {"SEALING_KEYS_FILE"} | _own_secrets(process)


def _own_secrets(process: Process) -> set[str]:
    return {
        "ingest": {"KOMPAR_TOKENS_FILE", "SOLARIS_SECRETS_FILE", "CANARY_SECRET_FILE"},
        "worker-kompar": {"KOMPAR_KEYS_FILE", "FINGERPRINT_KEY_FILE"},
        "worker-solaris": {"FINGERPRINT_KEY_FILE"},
        "beat": {"CANARY_SECRET_FILE"},
        "console": {"CONSOLE_PASSWORD_FILE", "FINGERPRINT_KEY_FILE"},
    }[process.name]


def test_the_processes_use_their_roles(kvitto: Running) -> None:
    query = "SELECT usename FROM pg_stat_activity WHERE starts_with(application_name, 'kvitto-ledger')"
    eventually(lambda: bool(kvitto.rows(query)), "a worker at the ledger")
    assert {row["usename"] for row in kvitto.rows(query)} == {"kvitto_worker"}


def test_migrate_gives_the_roles_their_passwords(tmp_path: Path) -> None:
    hba = tmp_path / "hba.conf"
    hba.write_text("host all kvitto 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    tmp_path.chmod(0o755)
    with postgres(tmp_path, "-c", f"hba_file={hba}", "-c", "log_statement=all") as dsn:
        passwords = {"ROLE_PASSWORDS": "kvitto_worker=correct-horse-battery,kvitto_console=staple-battery-horse"}
        done = run("migrate", environment={"DATABASE_URL": dsn} | passwords)
        assert done.returncode == 0, done.stderr
        worker = dsn.replace("//kvitto@", "//kvitto_worker:correct-horse-battery@")
        with psycopg.connect(worker) as connection:
            assert connection.execute("SELECT count(*) FROM kvitto.receipts").fetchone() == (0,)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(worker.replace("correct-horse-battery", "wrong"))
        assert "correct-horse-battery" not in (tmp_path / "postgres.log").read_text()
        unknown = run("migrate", environment={"DATABASE_URL": dsn, "ROLE_PASSWORDS": "postgres=secret-secret-secret"})
        assert unknown.returncode == 78
        assert "secret-secret" not in unknown.stderr


def test_a_role_adds_high_water_marks_and_only_those_that_the_ledger_confirms_go(
    database: str, connection: Connection
) -> None:
    marks = [HighWaterMark(UUID(int=1), count, StreamId(count, 0)) for count in (1, 2)]
    for role, mark in zip(("kvitto_ingest", "kvitto_worker"), marks, strict=True):
        with connect(database.replace("//kvitto@", f"//{role}@"), "test") as own:
            record(own, [("kompar", mark)])
    with connect(database.replace("//kvitto@", "//kvitto_worker@"), "test") as worker:
        forget_confirmed(worker, "kompar")
    rows = connection.execute("SELECT appended FROM inbox_high_water_marks ORDER BY appended")
    assert [row.appended for row in rows] == [1, 2]
