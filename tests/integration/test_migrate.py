"""`kvitto migrate` and `kvitto check migrate`: which privileges they need, and that it is all or nothing."""

import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from app.storage.connection import connect
from app.storage.migration_runner import migrate
from app.storage.roles import role_names
from tests.support import servers
from tests.support.kvitto_process import run
from tests.support.servers import eventually

ROLES = role_names("kvitto")
Admin = psycopg.Connection[tuple[object, ...]]
PASSWORDS = ",".join(f"{role}={role}-{'p' * 16}" for role in ROLES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on which roles log in with their passwords."""
    folder = tmp_path_factory.mktemp("managed")
    hba = folder / "hba.conf"
    rules = ("kvitto 127.0.0.1/32 trust", "owner 127.0.0.1/32 trust", "all 127.0.0.1/32 scram-sha-256")
    hba.write_text("".join(f"host all {rule}\n" for rule in rules))
    folder.chmod(0o755)
    with servers.postgres(folder, "-c", f"hba_file={hba}") as dsn:
        yield dsn


@pytest.fixture
def admin(server: str) -> Iterator[Admin]:
    """A superuser of a server with a database `fresh` of a role `owner`, and no roles of Kvitto."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE ROLE owner LOGIN CREATEROLE")
        connection.execute("CREATE DATABASE fresh OWNER owner")
        yield connection
        for (name,) in connection.execute("SELECT datname FROM pg_database WHERE oid >= 16384").fetchall():
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))
        for (name,) in connection.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384").fetchall():
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(str(name))))


def as_role(server: str, role: str, database: str = "fresh") -> str:
    return server.replace("kvitto@", f"{role}@").replace("/postgres", f"/{database}")


def environment(server: str, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": as_role(server, "owner"), "ROLE_PASSWORDS": PASSWORDS} | more


def words(text: str) -> str:
    return " ".join(text.split())


LACKING = {
    "CREATEROLE": (
        "ALTER ROLE owner NOCREATEROLE",
        "CREATE ROLE kvitto_ingest LOGIN needs CREATEROLE, which owner lacks", "ALTER ROLE owner CREATEROLE",
    ),
    "the database": (
        "ALTER DATABASE fresh OWNER TO kvitto",
        "owner does not own database fresh", "ALTER DATABASE fresh OWNER TO owner",
    ),
    "the option ADMIN": (
        "CREATE ROLE kvitto_worker LOGIN",
        "ALTER ROLE kvitto_worker needs the option ADMIN for it, which owner lacks",
        "SET \"statement_timeout\" = '12s'",
    ),
    "CREATEROLE for roles of another": (
        "ALTER ROLE owner NOCREATEROLE; " + "; ".join(f"CREATE ROLE {role} LOGIN" for role in ROLES),
        "ALTER ROLE kvitto_worker needs CREATEROLE, which owner lacks", "ALTER ROLE kvitto_worker PASSWORD",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "problem", "hint"), LACKING.values(), ids=LACKING)
def test_migrate_without_a_privilege_names_it_and_changes_nothing(
    admin: Admin, server: str, statement: str, problem: str, hint: str
) -> None:
    for each in statement.split("; "):
        admin.execute(each.encode())
    before = admin.execute("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").fetchall()
    done = run("migrate", environment=environment(server))
    assert done.returncode == 78
    assert problem in words(done.stderr)
    assert hint in words(done.stderr)
    assert "p" * 16 not in done.stderr
    check = run("check", "migrate", "--json", environment=environment(server))
    assert check.returncode == 1
    assert problem in words(check.stdout)
    assert admin.execute("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").fetchall() == before
    with psycopg.connect(server.replace("/postgres", "/fresh")) as connection:
        assert connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = 'kvitto'").fetchall() == []


def test_migrate_with_roles_that_another_made_needs_no_right_to_change_them(admin: Admin, server: str) -> None:
    admin.execute("ALTER ROLE owner NOCREATEROLE")
    for role in ROLES:
        admin.execute(f"CREATE ROLE {role} LOGIN".encode())
    given = {"DATABASE_URL": as_role(server, "owner")}
    refused = run("migrate", environment=given)
    for line in refused.stderr.splitlines():  # what the hints say, as a superuser
        for statement in line.partition("ROLE_PASSWORDS: ")[2].rstrip(".").split("; "):
            if statement:
                admin.execute(statement.encode())
    done = run("migrate", environment=given)
    assert done.returncode == 0, done.stderr
    assert run("check", "migrate", environment=given).returncode == 0


def test_check_migrate_reports_that_a_role_may_migrate(admin: Admin, server: str) -> None:
    assert admin
    done = run("check", "migrate", environment=environment(server))
    assert done.returncode == 0, done.stdout
    assert "this role may migrate" in done.stdout


def test_two_installations_of_one_server_do_not_share_roles(admin: Admin, server: str) -> None:
    """What the second installation does must not let it in at the first, nor lock the first out."""
    assert run("migrate", environment=environment(server)).returncode == 0
    admin.execute("CREATE DATABASE stage OWNER owner")
    stage = {"DATABASE_URL": as_role(server, "owner", "stage"), "ROLE_PASSWORDS": f"kvitto_worker={'s' * 20}"}
    refused = run("migrate", environment=stage)
    assert refused.returncode == 78
    assert "kvitto_worker is used in database fresh too" in refused.stderr
    assert "ROLE_PREFIX" in refused.stderr
    assert "is used in database fresh too" in words(run("check", "migrate", environment=stage).stdout)
    unknown = run("migrate", environment=stage | {"ROLE_PREFIX": "stage"})
    assert "ROLE_PASSWORDS: names kvitto_worker. Name roles among stage_ingest" in words(unknown.stderr)

    own = {"ROLE_PREFIX": "stage", "ROLE_PASSWORDS": f"stage_worker={'s' * 20}"}
    done = run("migrate", environment=stage | own)
    assert done.returncode == 0, done.stderr
    worker = server.replace("kvitto@", f"stage_worker:{'s' * 20}@")
    with psycopg.connect(worker.replace("/postgres", "/stage")) as connection:
        assert connection.execute("SELECT count(*) FROM receipts").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(worker.replace("/postgres", "/fresh"))
    first = server.replace("kvitto@", f"kvitto_worker:kvitto_worker-{'p' * 16}@")
    with psycopg.connect(first.replace("/postgres", "/fresh")) as connection:
        assert connection.execute("SELECT count(*) FROM receipts").fetchone() == (0,)


def test_migrate_under_another_prefix_than_before_is_refused(admin: Admin, server: str) -> None:
    assert run("migrate", environment=environment(server)).returncode == 0
    done = run("migrate", environment={"DATABASE_URL": as_role(server, "owner"), "ROLE_PREFIX": "other"})
    assert done.returncode == 78
    assert "other_worker has no rights in database fresh" in done.stderr
    assert admin.execute("SELECT FROM pg_roles WHERE starts_with(rolname, 'other')").rowcount == 0


def test_command_of_a_role_without_the_privilege_names_the_object(admin: Admin, server: str) -> None:
    assert admin
    assert run("migrate", environment=environment(server)).returncode == 0
    ingest = as_role(server, f"kvitto_ingest:kvitto_ingest-{'p' * 16}")
    done = run("dead-letters", "list", environment={"DATABASE_URL": ingest})
    assert done.returncode == 78
    assert "permission denied for table" in done.stderr


@pytest.mark.usefixtures("admin")
def test_migration_waits_for_a_table_in_short_turns_and_lets_others_pass(server: str) -> None:
    """A session holds a table; the migration does not keep a third from it for longer than its lock_timeout."""
    fresh = as_role(server, "owner")
    with connect(fresh, "test") as holder, connect(fresh, "test") as migrating, connect(fresh, "test") as other:
        migrate(migrating)
        migrating.execute("DELETE FROM public.kvitto_migrations WHERE name = '0011_metrics.sql'")
        made = "reporting.dead_letter_counts, reporting.replay_counts, reporting.overflow_backlog"
        migrating.execute(f"DROP VIEW {made}")
        migrating.execute("DROP INDEX kvitto.receipts_dead, kvitto.dead_letters_replayed")
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE kvitto.receipts IN ROW EXCLUSIVE MODE")
        applied: list[str] = []
        thread = threading.Thread(target=lambda: applied.extend(migrate(migrating)))
        thread.start()
        waits = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        pid = migrating.info.backend_pid
        eventually(lambda: other.execute(waits, [pid]).rowcount == 1, "the migration waits")
        eventually(lambda: other.execute(waits, [pid]).rowcount == 0, "it has given up for now")
        with other.transaction():
            other.execute("SET LOCAL lock_timeout = '20s'")
            other.execute("LOCK TABLE kvitto.receipts IN ROW EXCLUSIVE MODE")
        assert applied == []
        holder.execute("ROLLBACK")
        thread.join(60)
    assert applied == ["0011_metrics.sql"]
