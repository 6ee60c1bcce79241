"""Connections to the primary: what an address may say, and which of its hosts takes writes."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import psycopg
import psycopg.errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import namedtuple_row

from config.checks.result import fault
from config.environment import ConfigurationError
from config.secret_files import current_url
from config.web_address import is_host, is_port

_CONNECT_SECONDS = 3
# What every connection has, as libpq's options and psycopg's arguments. None of it is state of the server's session,
# which a pooler gives to another client after each transaction: no prepared statement, no SET, no LISTEN.
_OPTIONS = {
    "client_encoding": "utf8",  # under SQL_ASCII, texts would be bytes
    "target_session_attrs": "any",  # PrimaryConnection asks each host
    "connect_timeout": _CONNECT_SECONDS,
    # A host that is gone is noticed within 8 s: an idle connection by its probes, a busy one by its unread bytes.
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8_000,
}


def require_address(dsn: str) -> None:
    """Raise ConfigurationError unless `dsn` is an address without options of Kvitto's own; no server is asked."""
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:  # its text quotes the address, password included
        hint = (
            "Write it like postgresql://user:password@host/name, special characters as %XX, and check port and options"
        )
        raise ConfigurationError([fault("DATABASE_URL", "cannot be read as an address", hint)]) from error
    if not all(map(_is_place, _list(given, "host"))) or not all(map(is_port, _list(given, "port"))):
        hint = "Write it like postgresql://user:password@host:5432/name; several hosts as first:5432,second:5432"
        raise ConfigurationError([fault("DATABASE_URL", "names a host or a port that cannot be called", hint)])
    if given.get("target_session_attrs") in ("read-write", "primary"):
        del given["target_session_attrs"]  # that is what PrimaryConnection does
    own = {"application_name": ""} | _OPTIONS
    if taken := [option for option in given if option in own and str(given[option]) != str(own[option])]:
        problem = f"holds {', '.join(taken)}, which Kvitto sets itself"
        raise ConfigurationError([fault("DATABASE_URL", problem, "Remove it; other options of libpq may stay")])


def _list(given: dict[str, Any], option: str) -> list[str]:
    """Return the items of an option that may be a list; an empty one stands for the default."""
    return list(filter(None, str(given.get(option) or "").split(",")))


def _is_place(host: str) -> bool:
    """Return whether a host is an address, a name, or the folder of a socket."""
    return is_host(host) or (host[0] in "/@" and host.isprintable())


def connection_arguments(name: str) -> dict[str, Any]:
    """Return the arguments of every connection."""
    return _OPTIONS | {
        "application_name": f"kvitto-{name}",
        "autocommit": True,
        "row_factory": namedtuple_row,
        "prepare_threshold": None,
    }


class PrimaryConnection(psycopg.Connection[Any]):
    """A connection to the first host of an address that takes writes.

    Each host is asked. libpq's target_session_attrs relies on what a host reports by itself, and PgBouncer repeats what
    a server reported once: after a fail-over it would be refused for good.
    """

    @classmethod
    def connect(cls, conninfo: str = "", **arguments: Any) -> Self:
        """Connect, with the login that DATABASE_URL gives now.

        Raises ReadOnlySqlTransaction if a host takes no writes, else the error of the first host.
        """
        failure: psycopg.Error | None = None
        conninfo = current_url("DATABASE_URL", conninfo)
        for host in _hosts(conninfo):
            try:
                connection = super().connect(conninfo, **arguments | host)
                # PgBouncer accepts clients while its server is down, and has them wait for minutes.
                with deadline(connection, _CONNECT_SECONDS):
                    is_read_only = connection.execute("SHOW transaction_read_only").fetchall()[0][0] == "on"
            except psycopg.OperationalError as error:
                failure = failure or error
                continue
            if not is_read_only:
                return connection
            connection.close()
            failure = psycopg.errors.ReadOnlySqlTransaction("the server takes no writes")
        raise failure or psycopg.OperationalError("the address names no host")


def _hosts(conninfo: str) -> list[dict[str, str]]:
    """Return what each host of an address has of its own: name or address, and port."""
    given = conninfo_to_dict(conninfo)
    lists = {name: str(given[name]).split(",") for name in ("host", "hostaddr", "port") if given.get(name)}
    count = max(map(len, lists.values()), default=1)
    if any(len(values) not in (1, count) for values in lists.values()):
        return [{}]  # libpq says what is wrong
    shared = {name: values if len(values) == count else values * count for name, values in lists.items()}
    return [{name: values[number] for name, values in shared.items()} for number in range(count)]


@contextmanager
def deadline(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Cut the connection at the deadline: a server that hangs does not apply its own time-outs."""
    timer = threading.Timer(seconds, _cut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: psycopg.Connection[Any]) -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
