"""The roles of processes in Postgres: their names, what their sessions are set to, and what making them needs.

Settings belong to database and role, not to a connection: a pooler between them may refuse the options of a connection,
or drop them, and gives one session of the server to many clients.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from psycopg.sql import SQL, Composed, Identifier, Literal

from app.storage.connection import SESSION, Connection, fetch_one
from config.checks.result import CheckResult, fault

_PROCESSES = ("ingest", "worker", "console", "dashboard", "analyst", "consumer", "privacy")
# Every wait of a process ends. In this order, and all before a task's soft time limit: the server gives up first, and
# says why.
_LIMITS = {"lock_timeout": "8s", "statement_timeout": "12s", "idle_in_transaction_session_timeout": "15s"}
# By role; dashboards have the limits of their own programs.
_ROLE_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "ingest": _LIMITS,
    "worker": _LIMITS,
    "console": _LIMITS | {"statement_timeout": "8s"},  # before Prometheus and health checks give up
    # So that `SELECT * FROM kompar_applications` finds the view.
    "dashboard": {"search_path": "reporting"},
    "analyst": {"search_path": "reporting"},
    # A consumer that hangs in a transaction loses it, so that another instance can go on, and vacuum too.
    "consumer": {"search_path": "reporting", "idle_in_transaction_session_timeout": "60s"},
    "privacy": {"search_path": "reporting"},
}


def role_names(prefix: str) -> tuple[str, ...]:
    """Return the names of the processes' roles."""
    return tuple(f"{prefix}_{process}" for process in _PROCESSES)


class _Owner(NamedTuple):
    """The role that migrates, its database, and what it may do there."""

    role: str
    database: str
    is_migrated: bool
    owns_database: bool
    may_create_tables: bool
    may_create_roles: bool
    is_superuser: bool


class _Role(NamedTuple):
    """A role of a process as the server has it. `elsewhere` are other databases that use it."""

    name: str
    exists: bool
    may_be_altered: bool
    has_rights: bool
    settings: list[str]
    elsewhere: list[str]


def migration_problems(connection: Connection, prefix: str, passwords: Iterable[tuple[str, str]]) -> list[CheckResult]:
    """Return why `kvitto migrate` would fail in this role, each with the statement and the privilege that it needs."""
    owner, with_password = _read_owner(connection), {name for name, _ in passwords}
    results = [*_check_owner(owner)]
    if unknown := with_password - set(role_names(prefix)):
        hint = f"Name roles among {', '.join(role_names(prefix))}"
        results.append(fault("ROLE_PASSWORDS", f"names {', '.join(sorted(unknown))}", hint))
    for role in _read_roles(connection, prefix):
        results += _check_role(owner, role, with_password)
    return results


def create(connection: Connection, prefix: str) -> None:
    """Create the roles that the server lacks."""
    for role in _read_roles(connection, prefix):
        if not role.exists:
            connection.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(role.name)))


def configure(connection: Connection, prefix: str, passwords: Iterable[tuple[str, str]]) -> None:
    """Set what every session of the database and of each role has, who may connect, and passwords by role.

    What is as it should be is left alone, so that a role that another one made need not be changed. Only SCRAM
    verifiers of passwords leave this process, so that no log can quote a password.
    """
    database = _read_owner(connection).database  # a pooler may know it by another name
    set_defaults(connection, database)
    connection.execute(SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(Identifier(database)))
    for role in _read_roles(connection, prefix):
        grant = SQL("GRANT CONNECT ON DATABASE {} TO {}")
        connection.execute(grant.format(Identifier(database), Identifier(role.name)))
        for statement in _alterations(database, role):
            connection.execute(statement)
    for name, password in passwords:
        verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
        connection.execute(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(name), Literal(verifier.decode())))


def set_defaults(connection: Connection, database: str) -> None:
    """Set what every session of a database has, whatever its role."""
    for name, value in SESSION.items():
        statement = SQL("ALTER DATABASE {} SET {} = {}")
        connection.execute(statement.format(Identifier(database), Identifier(name), Literal(value)))


def _read_owner(connection: Connection) -> _Owner:
    query = """
        SELECT current_user::text AS role, datname::text AS database,
               to_regnamespace('kvitto') IS NOT NULL AS is_migrated,
               pg_has_role(datdba, 'USAGE') AS owns_database,
               coalesce(has_schema_privilege(to_regnamespace('public'), 'CREATE'), false) AS may_create_tables,
               rolcreaterole OR rolsuper AS may_create_roles, rolsuper AS is_superuser
        FROM pg_database, pg_roles WHERE datname = current_database() AND rolname = current_user
    """
    return _Owner(**fetch_one(connection, query)._asdict())


def _read_roles(connection: Connection, prefix: str) -> list[_Role]:
    # Up to version 15 CREATEROLE may alter every role, later only those that it has with the option ADMIN.
    query = """
        SELECT name, rolname IS NOT NULL AS exists,
               rolname IS NOT NULL AND (current_setting('server_version_num')::int < 160000
                                        OR pg_has_role(pg_roles.oid, 'MEMBER WITH ADMIN OPTION')) AS may_be_altered,
               coalesce(has_schema_privilege(pg_roles.oid, to_regnamespace('reporting'), 'USAGE')
                        OR has_schema_privilege(pg_roles.oid, to_regnamespace('kvitto'), 'USAGE'), false) AS has_rights,
               coalesce((SELECT setconfig FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
                         WHERE setrole = pg_roles.oid AND datname = current_database()), '{}') AS settings,
               ARRAY(SELECT datname::text FROM pg_shdepend
                     JOIN pg_database ON pg_database.oid
                       = CASE WHEN dbid <> 0 THEN dbid WHEN classid = 'pg_database'::regclass THEN objid END
                     WHERE refclassid = 'pg_authid'::regclass AND refobjid = pg_roles.oid
                     UNION
                     SELECT datname::text FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
                     WHERE setrole = pg_roles.oid
                     EXCEPT SELECT current_database()::text ORDER BY 1) AS elsewhere
        FROM unnest(%s::text[]) AS name LEFT JOIN pg_roles ON rolname = name
    """
    return [_Role(**row._asdict()) for row in connection.execute(query, [list(role_names(prefix))])]


def _alterations(database: str, role: _Role) -> list[Composed]:
    """Return the statements that give a role the settings that it lacks."""
    statement = SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}")
    return [
        statement.format(Identifier(role.name), Identifier(database), Identifier(name), Literal(value))
        for name, value in _ROLE_SETTINGS[role.name.rpartition("_")[2]].items()
        if f"{name}={value}" not in role.settings
    ]


def _check_owner(owner: _Owner) -> Iterator[CheckResult]:
    if not owner.owns_database:
        problem = f"{owner.role} does not own database {owner.database}, which CREATE SCHEMA and REVOKE CONNECT need"
        hint = f"Run as a superuser: ALTER DATABASE {owner.database} OWNER TO {owner.role}"
        yield fault("postgres owner", problem, hint)
    if not owner.may_create_tables:
        problem = f"{owner.role} lacks CREATE on schema public, which CREATE TABLE public.kvitto_migrations needs"
        yield fault("postgres owner", problem, f"Run as a superuser: GRANT CREATE ON SCHEMA public TO {owner.role}")


def _check_role(owner: _Owner, role: _Role, with_password: Collection[str]) -> Iterator[CheckResult]:
    if role.elsewhere:
        problem = f"{role.name} is used in database {', '.join(role.elsewhere)} too; roles belong to the whole server"
        hint = (
            "Set ROLE_PREFIX to a prefix of this installation's own, such as kvitto_stage; or drop the other database"
        )
        yield fault("postgres roles", problem, hint)
    elif owner.is_migrated and not role.has_rights:
        problem = f"{role.name} has no rights in database {owner.database}, which was migrated with other roles"
        yield fault("postgres roles", problem, "Set ROLE_PREFIX as before, or restore the roles of the dump")
    elif not role.exists and not owner.may_create_roles:
        problem = f"CREATE ROLE {role.name} LOGIN needs CREATEROLE, which {owner.role} lacks"
        yield fault("postgres roles", problem, f"Run as a superuser: ALTER ROLE {owner.role} CREATEROLE")
    elif role.exists and not (owner.is_superuser or (owner.may_create_roles and role.may_be_altered)):
        statements = [statement.as_string() for statement in _alterations(owner.database, role)]
        statements += [f"ALTER ROLE {role.name} PASSWORD …"] if role.name in with_password else []
        privilege = "the option ADMIN for it" if owner.may_create_roles else "CREATEROLE"
        if statements:
            problem = f"ALTER ROLE {role.name} needs {privilege}, which {owner.role} lacks"
            hint = f"Run as a superuser, and leave {role.name} out of ROLE_PASSWORDS: {'; '.join(statements)}"
            yield fault("postgres roles", problem, hint)
