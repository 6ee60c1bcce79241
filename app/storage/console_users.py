"""Users of the console and their sessions. Passwords are kept as hashes, and cookies as digests."""

from datetime import timedelta
from typing import Any, NamedTuple

from app.storage import access_log
from app.storage.access_log import Access
from app.storage.connection import Connection
from config.console_roles import Role

# A session ends so long after its last request, and so long after its login.
IDLE, LONGEST = timedelta(minutes=30), timedelta(hours=12)
# So often the time of the last request is written.
_SEEN = timedelta(seconds=30)


class User(NamedTuple):
    """Who is logged in."""

    name: str
    role: Role


def put(connection: Connection, user: User, password_hash: str, operator: str) -> None:
    """Add a user, or replace role and password of one and end the sessions of this name."""
    with connection.transaction():
        _end_sessions(connection, user.name)
        connection.execute("DELETE FROM console_users WHERE name = %s", [user.name])
        query = "INSERT INTO console_users (name, role, password_hash) VALUES (%s, %s, %s)"
        connection.execute(query, [*user, password_hash])
        access_log.record(connection, Access("user-set", operator, subject=f"{user.name}, {user.role}"))


def remove(connection: Connection, name: str, operator: str) -> bool:
    """Remove a user and end the sessions of this name; return whether there was a user or a session."""
    with connection.transaction():
        has_sessions = _end_sessions(connection, name)
        is_removed = bool(connection.execute("DELETE FROM console_users WHERE name = %s", [name]).rowcount)
        if is_removed or has_sessions:
            access_log.record(connection, Access("user-removed", operator, subject=name))
    return is_removed or has_sessions


def _end_sessions(connection: Connection, name: str) -> bool:
    return bool(connection.execute("DELETE FROM console_sessions WHERE name = %s", [name]).rowcount)


def select(connection: Connection) -> list[dict[str, Any]]:
    """Return all users, and who is signed in from the identity provider: those lack `created_at`.

    `seen_at` is of the newest session that has not been ended.
    """
    query = """
        SELECT name, role, created_at, (SELECT max(seen_at) FROM console_sessions AS session
                                        WHERE session.name = console_users.name) AS seen_at
        FROM console_users
        UNION ALL
        SELECT name, max(role), NULL, max(seen_at) FROM console_sessions WHERE role IS NOT NULL GROUP BY name
        ORDER BY name
    """
    return [row._asdict() for row in connection.execute(query)]


def exist(connection: Connection) -> bool:
    """Return whether there is a user with a password."""
    return bool(connection.execute("SELECT FROM console_users LIMIT 1").rowcount)


def find(connection: Connection, name: str) -> tuple[User, str] | None:
    """Return a user and the hash of the password."""
    row = connection.execute("SELECT name, role, password_hash FROM console_users WHERE name = %s", [name]).fetchone()
    return (User(row.name, row.role), row.password_hash) if row else None


def begin_session(connection: Connection, user: User, digest: bytes, subject: str | None = None) -> None:
    """Begin a session whose cookie has this digest, and delete those that are over.

    `subject` is how the identity provider identifies the person who signed in there; None for a user with a password.
    """
    query = "DELETE FROM console_sessions WHERE seen_at < clock_timestamp() - %s OR started_at < clock_timestamp() - %s"
    with connection.transaction():
        connection.execute(query, [IDLE, LONGEST])
        query = "INSERT INTO console_sessions (digest, name, role) VALUES (%s, %s, %s)"
        connection.execute(query, [digest, user.name, None if subject is None else user.role])
        access_log.record(connection, Access("login", user.name, subject=subject))


def end_session(connection: Connection, user: User, digest: bytes) -> None:
    """End a session."""
    with connection.transaction():
        connection.execute("DELETE FROM console_sessions WHERE digest = %s", [digest])
        access_log.record(connection, Access("logout", user.name))


def session_user(connection: Connection, digest: bytes, is_active: bool) -> User | None:
    """Return whose session it is, None if it is over. `is_active`: a person asks, not a page that reloads itself."""
    query = """
        SELECT session.name, coalesce(session.role, console_users.role) AS role,
               seen_at < clock_timestamp() - %s AS is_due
        FROM console_sessions AS session LEFT JOIN console_users ON console_users.name = local_name
        WHERE digest = %s AND seen_at > clock_timestamp() - %s AND started_at > clock_timestamp() - %s
    """
    row = connection.execute(query, [_SEEN, digest, IDLE, LONGEST]).fetchone()
    if row and row.is_due and is_active:
        connection.execute("UPDATE console_sessions SET seen_at = clock_timestamp() WHERE digest = %s", [digest])
    return User(row.name, row.role) if row else None
