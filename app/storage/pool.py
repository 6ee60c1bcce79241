"""Connections for threads that must finish by a deadline."""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from psycopg_pool import ConnectionPool, PoolTimeout

from app.errors import StoreUnavailableError
from app.storage.connection import Connection, borrow
from app.storage.primary import PrimaryConnection, connection_arguments, deadline, require_address
from config.network import seconds_to_send

_SIZE = 8
# Above this, the limit of the connection for a statement is raised, which costs a round trip.
_MANY_BYTES = 256 * 1024
T = TypeVar("T")


class Pool:
    """A few connections to the primary, opened in the background.

    No call lasts longer than `seconds`, even if the server hangs.
    A call that sends much has the time for that in addition.
    """

    def __init__(self, dsn: str, name: str, seconds: float) -> None:
        require_address(dsn)
        self._seconds = seconds
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            dsn,
            connection_class=PrimaryConnection,
            kwargs=connection_arguments(name),
            min_size=1,
            max_size=_SIZE,
            reconnect_timeout=5,
            name=name,
            open=True,
        )

    def run(self, work: Callable[[Connection], T], sent_bytes: int = 0) -> T:
        """Return what `work` returns, which sends so many bytes.

        It may run twice, since the first connection may have gone stale.

        Raises:
            StoreUnavailableError: It did not finish in time, or its answer was lost.
        """
        seconds = self._seconds + seconds_to_send(sent_bytes)
        if sent_bytes > _MANY_BYTES:
            work = partial(_within, seconds, work)
        end = time.monotonic() + seconds
        try:
            return self._once(work, end)
        except StoreUnavailableError:
            if time.monotonic() > end - self._seconds / 2:
                raise
        return self._once(work, end)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _once(self, work: Callable[[Connection], T], end: float) -> T:
        try:
            with self._pool.connection(_left(end)) as connection:
                try:
                    with borrow(connection), deadline(connection, _left(end)):
                        return work(connection)
                finally:
                    if connection.closed:  # the others lead to the same server, which is gone or takes no writes
                        self._pool.drain()
        except PoolTimeout as error:
            raise StoreUnavailableError("postgres-unavailable", "no connection in time") from error


def _within(seconds: float, work: Callable[[Connection], T], connection: Connection) -> T:
    """Run `work` in a transaction whose statements may take so long; the server counts the time of sending too."""
    with connection.transaction():
        connection.execute(f"SET LOCAL statement_timeout = {round(seconds * 1000)}")
        return work(connection)


def _left(end: float) -> float:
    return max(end - time.monotonic(), 0.05)
