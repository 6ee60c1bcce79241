"""The roles of the processes in Postgres; migrations make them and say what each may do."""

from collections.abc import Iterable

from psycopg import sql

from app.storage.connection import Connection

ROLES = ("kvitto_ingest", "kvitto_worker", "kvitto_console", "kvitto_dashboard")


def set_passwords(connection: Connection, passwords: Iterable[tuple[str, str]]) -> None:
    """Set the passwords of roles; only what proves them leaves this process, so that no log can quote one."""
    for role, password in passwords:
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
        )
