"""Notifications of the feed, as a consumer hears them: when each came, and how long after their deliveries."""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
import psycopg

_POLL_SECONDS = 0.2


class Listener:
    """Listens in a thread to the feed of Kompar; each notification names the newest position."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._positions: list[int] = []
        self._heard_at: list[float] = []
        self._is_over = threading.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def delays(self, mark: UUID) -> list[float]:
        """Return the seconds from receipt, by the inbox's clock, to notification, of every change since `mark`."""
        query = """
            SELECT position, extract(epoch FROM received_at)::double precision FROM kvitto.events
            WHERE provider = 'kompar' AND receipt > %s AND position <= %s
        """
        with psycopg.connect(self._dsn) as connection:
            rows = connection.execute(query, [mark, self._positions[-1]]).fetchall()
        return sorted(self._heard_at[bisect_left(self._positions, position)] - at for position, at in rows)

    def _listen(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("LISTEN kvitto_feed")
            self._listens.set()
            while not self._is_over.is_set():
                for notification in connection.notifies(timeout=_POLL_SECONDS):
                    self._hear(orjson.loads(notification.payload))

    def _hear(self, newest: dict[str, Any]) -> None:
        if newest["provider"] == "kompar":
            self._positions.append(newest["position"])
            self._heard_at.append(time.time())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen for the duration of a block."""
        self._thread.start()
        self._listens.wait()
        try:
            yield
        finally:
            self._is_over.set()
            self._thread.join()
