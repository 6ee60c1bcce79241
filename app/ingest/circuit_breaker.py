"""A circuit breaker per store, so that a broken store costs one slow request instead of every request."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from redis import Redis

from app.errors import StoreUnavailableError
from app.inbox import client
from app.inbox.stream import Inbox
from app.storage.connection import Connection
from app.storage.fallbacks import LASTING_SECONDS, Fallback
from app.storage.pool import Pool
from app.storage.usability import require_durable, require_privileges

_PROBE_INTERVAL_SECONDS = 1.0
# A probe takes milliseconds. A store whose probe takes this long would keep requests waiting.
_SLOW_SECONDS = 0.5
# A store whose probe does not return, for example because its name cannot be resolved, counts as unavailable.
_HUNG_SECONDS = 2.0
# How long the privileges of a role are relied on: reading them takes as long as all else that a probe reads.
_PRIVILEGES_SECONDS = 10.0
# Redis refuses appends and wake-ups at its memory limit, so deliveries go to Postgres before that.
_FULL_SHARE = 0.8
logger = logging.getLogger(__name__)


class CircuitBreaker:
    """Lets requests use a store while it is available. Opens at a failed request or probe, closes at the next probe."""

    def __init__(self, store: str, probe: Callable[[], bool], disconnect: Callable[[], None] = lambda: None) -> None:
        """Guard `store`.

        `probe` returns whether the store has room. It raises StoreUnavailableError if the store cannot keep a delivery
        durably. A slow store counts as one without room: requests prefer the other store.
        `disconnect` closes idle connections. It is called at every failure: after a fail-over they would stay with the
        former server, and only a new connection reaches the promoted one.
        """
        self._store = store
        self._probe = probe
        self._disconnect = disconnect
        self._error: StoreUnavailableError | None = None
        self._probing_since: float | None = None
        self._avoided_since: float | None = None
        self.has_room = True

    def start(self) -> None:
        """Probe now, and every second from a background thread."""
        self.probe()
        threading.Thread(target=self._run, name=f"probe-{self._store}", daemon=True).start()

    def probe(self) -> None:
        """Probe once: close the circuit, or open it."""
        self._probing_since = started = time.monotonic()
        try:
            self.has_room = self._probe() and time.monotonic() - started < _SLOW_SECONDS
        except StoreUnavailableError as error:
            self.open(error)
        except Exception as error:
            logger.exception("probe_failed", extra={"store": self._store})
            self.open(StoreUnavailableError("internal", type(error).__name__))
        else:
            if not self.has_room:
                self._avoided_since = self._avoided_since or started
            elif self._error is None:  # twice in a row: a store that accepts probes only is avoided still
                self._avoided_since = None
            if self._error is not None:
                logger.warning("circuit_closed", extra={"store": self._store})
            self._error = None
        finally:
            self._probing_since = None

    def open(self, error: StoreUnavailableError) -> None:
        """Keep requests away from the store until a probe, on a new connection, succeeds."""
        if self._error is None:
            logger.error("circuit_opened", extra={"store": self._store, "reason": error.reason, "detail": error.detail})
        self._error = StoreUnavailableError(error.reason, error.detail)  # a copy, without the traceback
        self._avoided_since = self._avoided_since or time.monotonic()
        self._disconnect()

    def avoided(self) -> tuple[float, str] | None:
        """Return for how many seconds requests have avoided the store, and why; None if they use it."""
        error = self.error()
        since = self._avoided_since or (self._probing_since if error else None)  # a probe that hangs sets no error
        if since is None:
            return None
        return time.monotonic() - since, error.reason if error else f"{self._store}-slow-or-full"

    def error(self) -> StoreUnavailableError | None:
        """Return why the circuit is open, or that a probe hangs; None if requests may use the store."""
        error, since = self._error, self._probing_since
        if since is not None and time.monotonic() - since > _HUNG_SECONDS:
            return StoreUnavailableError("unresponsive", self._store)
        return error and StoreUnavailableError(error.reason, error.detail)

    def check(self) -> None:
        """Raise StoreUnavailableError while requests may not use the store."""
        if error := self.error():
            raise error

    def _run(self) -> None:
        while True:
            time.sleep(_PROBE_INTERVAL_SECONDS)
            self.probe()


class CircuitBreakers(NamedTuple):
    """One per store. With `keeps_in_redis` false no delivery waits in Redis: it wakes workers only."""

    redis: CircuitBreaker
    postgres: CircuitBreaker
    keeps_in_redis: bool = True

    def fallback(self, at_least_seconds: float = LASTING_SECONDS) -> str:
        """Return a sentence if deliveries have gone to Postgres instead of Redis for so long; empty if not."""
        avoided = self.redis.avoided() if self.keeps_in_redis else None
        if avoided is None or avoided[0] < at_least_seconds:
            return ""
        return str(Fallback("ingest", "all providers", avoided[1], avoided[0]))

    @property
    def durable(self) -> tuple[CircuitBreaker, ...]:
        """Those of the stores that keep deliveries, the preferred one first."""
        return (self.redis, self.postgres) if self.keeps_in_redis else (self.postgres,)


def probe_redis(redis: Redis, inboxes: Sequence[Inbox], exceptions: Collection[str], replicas: int) -> bool:
    """Return whether Redis has room.

    Raises:
        StoreUnavailableError: Its replies do not prove that a write is on disk, for all settings but `exceptions`; or
            fewer than `replicas` replicas received a write.
    """
    client.follow_primary(redis)
    if errors := client.durability_errors(redis, exceptions):
        raise StoreUnavailableError("redis-not-durable", "; ".join(error.name for error in errors))
    if replicas:
        client.confirmed_by_replicas(redis, replicas, lambda commands: commands.set("inbox:probe", 1))
    for inbox in inboxes:
        inbox.open()  # while there is room: a full server would refuse it to the workers, and nothing would be drained
    return client.used_share(redis) < _FULL_SHARE


class PostgresProbe:
    """Probes Postgres through a pool; `exceptions` are settings that need not be durable, as `postgres.setting`."""

    def __init__(self, pool: Pool, exceptions: Collection[str]) -> None:
        self._pool = pool
        self._exceptions = exceptions
        self._trusted_until = 0.0

    def __call__(self) -> bool:
        """Return true: there is room.

        Raises:
            StoreUnavailableError: A commit does not prove that a write is on disk, or this role may not write.
        """
        self._pool.run(self._require_usable)
        return True

    def distrust(self) -> None:
        """Read the privileges again at the next probe: a request failed, or the server is another one."""
        self._trusted_until = 0.0

    def _require_usable(self, connection: Connection) -> None:
        require_durable(connection, self._exceptions)
        if time.monotonic() > self._trusted_until:
            require_privileges(connection, "ingest")
            self._trusted_until = time.monotonic() + _PRIVILEGES_SECONDS
