"""The roles of the processes in Postgres. Migrations create them and grant their privileges."""

from collections.abc import Iterable

from psycopg.sql import SQL, Identifier, Literal

from app.storage.connection import Connection

ROLES = ("kvitto_ingest", "kvitto_worker", "kvitto_console", "kvitto_dashboard")


def set_passwords(connection: Connection, passwords: Iterable[tuple[str, str]]) -> None:
    """Set passwords, by role. Only SCRAM verifiers leave this process, so that no log can quote a password."""
    for role, password in passwords:
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        query = SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(role), Literal(verifier.decode()))
        connection.execute(query)
