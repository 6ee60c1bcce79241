"""Those who receive deliveries and store them, asked the same questions: Kvitto and the tutorial's design."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from uuid_utils.compat import uuid7

from benchmarks.baselines.servers import Tutorial
from benchmarks.conservation_check import Books
from benchmarks.result_files import KVITTO
from tests.support.kvitto_process import Running
from tests.support.process_tree import below, stopped
from tests.support.providers.kompar_fixtures import TOKEN

HEADERS = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}


class Receiver(Protocol):
    """Whom deliveries are posted to."""

    @property
    def name(self) -> str:
        """Who it is, in tables."""

    @property
    def portion(self) -> int:
        """By how much fewer deliveries it is sent, so that who is slow does not take all the time."""

    @property
    def url(self) -> str:
        """Where applications are posted."""

    def mark(self) -> Any:
        """Return what separates later rows from earlier ones."""

    def committed(self, mark: Any) -> tuple[int, float]:
        """Return how many rows were committed since, and when the last was, in seconds since 1970."""

    def delays(self, mark: Any) -> list[float]:
        """Return the seconds from receipt to commit of every row since."""

    def standing(self) -> Any:
        """Return a block in which nothing is drained."""

    def books(self) -> Books | None:
        """Open the books of a run; None where nothing can be audited."""


@dataclass(frozen=True, slots=True)
class OurReceiver:
    """Kvitto. Rows are known by their receipts, which begin with the time."""

    kvitto: Running
    name: str = KVITTO
    portion: int = 1

    @property
    def url(self) -> str:
        """Where applications are posted."""
        return f"{self.kvitto.ingest}/webhooks/kompar/applications"

    def mark(self) -> Any:
        """Return a receipt that is older than all to come."""
        return uuid7()

    def committed(self, mark: Any) -> tuple[int, float]:
        """Return how many receipts were committed since, and when the last was."""
        return _committed(self.kvitto.database, "kvitto.receipts WHERE receipt > %s", mark)

    def delays(self, mark: Any) -> list[float]:
        """Return the seconds from receipt, by the inbox's clock, to commit."""
        return _delays(self.kvitto.database, "kvitto.receipts WHERE receipt > %s", mark)

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Have the workers stand still."""
        with stopped(*self.kvitto.workers()):
            yield

    def books(self) -> Books:
        """Open the books of a run."""
        return Books(self.kvitto)


@dataclass(frozen=True, slots=True)
class TutorialReceiver:
    """The tutorial's design. Rows are numbered."""

    tutorial: Tutorial
    name: str = "tutorial"
    portion: int = 5

    @property
    def url(self) -> str:
        """Where applications are posted."""
        return self.tutorial.url

    def mark(self) -> Any:
        """Return the newest row's number."""
        return _row(self.tutorial.database, "SELECT coalesce(max(id), 0) FROM applications", [])[0]

    def committed(self, mark: Any) -> tuple[int, float]:
        """Return how many rows were committed since, and when the last was."""
        return _committed(self.tutorial.database, "applications WHERE id > %s", mark)

    def delays(self, mark: Any) -> list[float]:
        """Return the seconds from the view's clock to commit."""
        return _delays(self.tutorial.database, "applications WHERE id > %s", mark)

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Have the worker stand still."""
        with stopped(self.tutorial.worker, *below(self.tutorial.worker)):
            yield

    def books(self) -> Books | None:
        """Return none: nothing shows whether it lost any."""
        return None


def _row(dsn: str, query: str, parameters: list[Any]) -> Any:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query, parameters).fetchone()


# The servers run with track_commit_timestamp: a row counts from its commit, not from its insertion.
def _committed(dsn: str, rows: str, mark: Any) -> tuple[int, float]:
    query = f"SELECT count(*), extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))::double precision FROM {rows}"
    count, last = _row(dsn, query, [mark])
    return count, last or 0.0


def _delays(dsn: str, rows: str, mark: Any) -> list[float]:
    query = f"SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - received_at)::double precision FROM {rows}"
    with psycopg.connect(dsn) as connection:
        return sorted(row[0] for row in connection.execute(query, [mark]))
