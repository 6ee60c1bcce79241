"""Reports rejected requests to Postgres: their counts, and the requests themselves, sealed, as far as there is room.

A wrong secret of ours rejects a provider's deliveries. They are kept, so that they can be readmitted once it is
corrected. Anybody can send requests that are rejected: they take a bounded share of memory, time and disk.
"""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from uuid_utils.compat import uuid7

from app.crypto.sealing import SealingKeys
from app.ingest.client_address import client_address
from app.periodic import PeriodicTask
from app.storage import rejected
from app.storage.pool import Pool
from app.storage.rejected import RejectedCount, RejectedRequest
from config.networks import Network

_REPORT_SECONDS, _TRIM_SECONDS = 1.0, 60.0
# Requests and bytes that wait for a report, a client's part of them, and the size of one.
_MAX_WAITING, _MAX_WAITING_OF_CLIENT = 2_000, 500
_MAX_BYTES, _MAX_REQUEST_BYTES = 8 * 1024 * 1024, 1024 * 1024
# Requests of one report: sealing and writing them takes a few milliseconds.
_MAX_REPORTED = 200
# Clients that are counted apart in one report, and counts that wait for one.
_MAX_CLIENTS, _MAX_COUNTS = 50, 10_000
_OTHER = "other"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected request of a provider's URL, and for how long the provider tries again."""

    provider: str
    reason: str
    client: str
    retried_for: timedelta


class RejectionReporter(PeriodicTask):
    """Keeps rejected requests until they are reported; trims what Postgres keeps once a minute."""

    def __init__(self, pool: Pool, keys: SealingKeys, trusted: Collection[Network]) -> None:
        """Report by `pool`, sealed with `keys`. `trusted` proxies name the client."""
        super().__init__("rejections", _REPORT_SECONDS, also_at_end=True)
        self._pool = pool
        self.keys = keys  # may be replaced at any time
        self._trusted = trusted
        self._lock = threading.Lock()
        self._counts: Counter[tuple[datetime, Rejection]] = Counter()
        # With the receipt of each: a report that is repeated because its answer was lost adds nothing.
        self._waiting: list[tuple[UUID, Rejection, datetime, bytes]] = []
        self._waiting_of: Counter[str] = Counter()
        self._waiting_bytes = 0
        self._trimmed_at = 0.0

    def client_of(self, peer: str, forwarded_for: str) -> str:
        """Return the client's IP address, from who connected and X-Forwarded-For."""
        return client_address(peer, forwarded_for, self._trusted)

    def has_room(self, client: str) -> bool:
        """Return whether a request of this client would be kept."""
        return (
            len(self._waiting) < _MAX_WAITING
            and self._waiting_bytes < _MAX_BYTES
            and self._waiting_of[client] < _MAX_WAITING_OF_CLIENT
        )

    def observe(self, rejection: Rejection, request: bytes | None) -> None:
        """Count a rejected request, and keep it if it was received whole and there is room."""
        now = datetime.now(UTC)
        with self._lock:
            counted = rejection if len(self._counts) < _MAX_COUNTS else replace(rejection, client=_OTHER)
            self._counts[now.replace(second=0, microsecond=0), counted] += 1
            if request is None or len(request) > _MAX_REQUEST_BYTES or not self.has_room(rejection.client):
                return
            self._waiting.append((uuid7(), rejection, now, request))
            self._waiting_of[rejection.client] += 1
            self._waiting_bytes += len(request)

    def once(self) -> None:
        """Report the oldest requests, and have old ones removed now and then."""
        self._report_oldest()
        if time.monotonic() - self._trimmed_at > _TRIM_SECONDS:
            self._trimmed_at = time.monotonic()
            self._pool.run(rejected.trim)

    def _report_oldest(self) -> None:
        """Report counts, and the oldest requests. What could not be reported waits for the next report."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            reported = self._waiting[:_MAX_REPORTED]
        if not counts and not reported:
            return
        requests = [self._sealed(*each) for each in reported]
        try:
            record = partial(rejected.record, counts=list(_merged(counts)), requests=requests)
            self._pool.run(record, sum(len(each.request) for each in requests))
        except Exception:
            with self._lock:
                self._counts.update(counts)
            raise
        with self._lock:
            del self._waiting[: len(reported)]
            self._waiting_of.subtract(Counter(rejection.client for _, rejection, _, _ in reported))
            self._waiting_of += Counter()  # without those that wait for nothing
            self._waiting_bytes -= sum(len(request) for _, _, _, request in reported)

    def _sealed(self, receipt: UUID, rejection: Rejection, received_at: datetime, request: bytes) -> RejectedRequest:
        return RejectedRequest(
            receipt,
            rejection.provider,
            rejection.reason,
            rejection.client,
            received_at,
            received_at + rejection.retried_for,
            len(request),
            self.keys.seal(receipt, request),
        )


def _merged(counts: Counter[tuple[datetime, Rejection]]) -> Iterable[RejectedCount]:
    """Yield the counts by client, those of the busiest clients apart."""
    busiest: Counter[str] = Counter()
    for (_, rejection), number in counts.items():
        busiest[rejection.client] += number
    apart = {client for client, _ in busiest.most_common(_MAX_CLIENTS)}
    merged: Counter[tuple[datetime, str, str, str]] = Counter()
    for (minute, rejection), number in counts.items():
        client = rejection.client if rejection.client in apart else _OTHER
        merged[minute, rejection.provider, rejection.reason, client] += number
    return (RejectedCount(*key, number) for key, number in merged.items())
