"""Reads the ledger for the console, and knows since when it cannot be read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from app.audit import problems
from app.audit.problem import Problem
from app.errors import StoreUnavailableError
from app.storage.connection import Connection, session
from config.environment import ConfigurationError

T = TypeVar("T")


class LedgerUnreadableError(Exception):
    """The ledger cannot be read: Postgres, its schema or the console's rights."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class LedgerReader:
    """Gives each query a connection of its own."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._unreadable_since: datetime | None = None

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Yield a connection for the duration of a block; raises LedgerUnreadableError."""
        try:
            with session(self._database_url, "console") as connection:
                yield connection
        except (StoreUnavailableError, ConfigurationError) as error:
            self._unreadable_since = self._unreadable_since or datetime.now(UTC)
            faults = error.faults if isinstance(error, ConfigurationError) else [error]
            cause = " ".join(map(str, faults)).removesuffix(".")
            raise LedgerUnreadableError(problems.ledger_unreadable(cause, self._unreadable_since)) from error
        self._unreadable_since = None

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return what `query` returns; raises LedgerUnreadableError."""
        with self.connected() as connection:
            return query(connection)
