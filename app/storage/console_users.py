"""Users of the console and their sessions. Passwords are kept as hashes, and cookies as digests."""

from datetime import timedelta
from typing import Any, Literal, NamedTuple, get_args

from app.storage import access_log
from app.storage.access_log import Access
from app.storage.connection import Connection

Role = Literal["viewer", "operator", "privacy"]
ROLES: tuple[Role, ...] = get_args(Role)
# A session ends so long after its last request, and so long after its login.
IDLE, LONGEST = timedelta(minutes=30), timedelta(hours=12)
# So often the time of the last request is written.
_SEEN = timedelta(seconds=30)


class User(NamedTuple):
    """Who is logged in."""

    name: str
    role: Role


def put(connection: Connection, user: User, password_hash: str, operator: str) -> None:
    """Add a user, or replace role and password of one and end the sessions."""
    with connection.transaction():
        connection.execute("DELETE FROM console_users WHERE name = %s", [user.name])
        query = "INSERT INTO console_users (name, role, password_hash) VALUES (%s, %s, %s)"
        connection.execute(query, [*user, password_hash])
        access_log.record(connection, Access("user-set", operator, subject=f"{user.name}, {user.role}"))


def remove(connection: Connection, name: str, operator: str) -> bool:
    """Remove a user and end the sessions; return whether there was one."""
    with connection.transaction():
        is_removed = bool(connection.execute("DELETE FROM console_users WHERE name = %s", [name]).rowcount)
        if is_removed:
            access_log.record(connection, Access("user-removed", operator, subject=name))
    return is_removed


def select(connection: Connection) -> list[dict[str, Any]]:
    """Return all users, and when each was last seen in a session that has not been ended."""
    query = """
        SELECT name, role, created_at, (SELECT max(seen_at) FROM console_sessions AS session
                                        WHERE session.name = console_users.name) AS seen_at
        FROM console_users ORDER BY name
    """
    return [row._asdict() for row in connection.execute(query)]


def find(connection: Connection, name: str) -> tuple[User, str] | None:
    """Return a user and the hash of the password."""
    row = connection.execute("SELECT name, role, password_hash FROM console_users WHERE name = %s", [name]).fetchone()
    return (User(row.name, row.role), row.password_hash) if row else None


def begin_session(connection: Connection, user: User, digest: bytes) -> None:
    """Begin a session whose cookie has this digest, and delete those that are over."""
    query = "DELETE FROM console_sessions WHERE seen_at < clock_timestamp() - %s OR started_at < clock_timestamp() - %s"
    with connection.transaction():
        connection.execute(query, [IDLE, LONGEST])
        connection.execute("INSERT INTO console_sessions (digest, name) VALUES (%s, %s)", [digest, user.name])
        access_log.record(connection, Access("login", user.name))


def end_session(connection: Connection, user: User, digest: bytes) -> None:
    """End a session."""
    with connection.transaction():
        connection.execute("DELETE FROM console_sessions WHERE digest = %s", [digest])
        access_log.record(connection, Access("logout", user.name))


def session_user(connection: Connection, digest: bytes, is_active: bool) -> User | None:
    """Return whose session it is, None if it is over. `is_active`: a person asks, not a page that reloads itself."""
    query = """
        SELECT name, role, seen_at < clock_timestamp() - %s AS is_due
        FROM console_sessions JOIN console_users USING (name)
        WHERE digest = %s AND seen_at > clock_timestamp() - %s AND started_at > clock_timestamp() - %s
    """
    row = connection.execute(query, [_SEEN, digest, IDLE, LONGEST]).fetchone()
    if row and row.is_due and is_active:
        connection.execute("UPDATE console_sessions SET seen_at = clock_timestamp() WHERE digest = %s", [digest])
    return User(row.name, row.role) if row else None
