"""Watches a store from a thread of its own, so that a broken one costs one slow request, not every request."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from redis import Redis

from app.errors import StoreUnavailableError
from app.inbox import client
from app.inbox.stream import Inbox
from app.storage.connection import durability_errors, require_writable
from app.storage.pool import Pool
from config.checks.result import CheckResult

_PROBE_SECONDS = 1.0
# A look takes milliseconds. One that takes this long tells of a store that would keep requests waiting, and one that
# does not end (a name that is not resolved, say) of a store that is gone.
_SLOW_SECONDS = 0.5
_HUNG_SECONDS = 2.0
logger = logging.getLogger(__name__)


class CircuitBreaker:
    """Knows whether a store can be relied on: looks every second, and is told of what fails in between."""

    def __init__(self, store: str, look: Callable[[], bool]) -> None:
        """Watch `store`; `look` returns whether it has room, or raises StoreUnavailableError if nothing is durable.

        A slow store counts as one without room: the other is preferred.
        """
        self._store = store
        self._probe = look
        self._error: StoreUnavailableError | None = None
        self._probing_since: float | None = None
        self.has_room = True

    def start(self) -> None:
        """Look now, and from now on."""
        self.probe()
        threading.Thread(target=self._run, name=f"watch-{self._store}", daemon=True).start()

    def probe(self) -> None:
        """Look once."""
        self._probing_since = started = time.monotonic()
        try:
            self.has_room = self._probe() and time.monotonic() - started < _SLOW_SECONDS
        except StoreUnavailableError as error:
            self.open(error)
        except Exception as error:
            logger.exception("probe_failed", extra={"store": self._store})
            self.open(StoreUnavailableError("internal", type(error).__name__))
        else:
            if self._error is not None:
                logger.warning("circuit_closed", extra={"store": self._store})
            self._error = None
        finally:
            self._probing_since = None

    def open(self, error: StoreUnavailableError) -> None:
        """Rely on the store no more, until a look finds it well."""
        if self._error is None:
            logger.error("circuit_opened", extra={"store": self._store, "reason": error.reason, "detail": error.detail})
        self._error = StoreUnavailableError(error.reason, error.detail)

    def check(self) -> None:
        """Raise StoreUnavailableError while the store is not to be relied on."""
        verdict, since = self._error, self._probing_since
        if since is not None and time.monotonic() - since > _HUNG_SECONDS:
            raise StoreUnavailableError("unresponsive", self._store)
        if verdict is not None:
            raise StoreUnavailableError(verdict.reason, verdict.detail)

    def _run(self) -> None:
        while True:
            time.sleep(_PROBE_SECONDS)
            self.probe()


# Redis refuses at its limit, and wake-ups with it; deliveries turn off the road some way before that cliff.
_FULL_SHARE = 0.8


def probe_redis(redis: Redis, inboxes: Sequence[Inbox], allow_non_durable: bool) -> bool:
    """Tell whether Redis has room; raises StoreUnavailableError unless its reply proves that a write is on disk."""
    _refuse("redis-not-durable", [] if allow_non_durable else client.durability_errors(redis))
    for inbox in inboxes:
        inbox.open()  # while there is room: on a full server workers could not, and nothing would drain
    return client.used_share(redis) < _FULL_SHARE


def probe_postgres(pool: Pool, allow_non_durable: bool) -> bool:
    """Return true; raises StoreUnavailableError unless a commit in Postgres proves that it is on disk."""
    pool.run(require_writable)
    faults = pool.run(durability_errors)
    _refuse("postgres-not-durable", [] if allow_non_durable else faults)
    return True


def _refuse(reason: str, faults: Sequence[CheckResult]) -> None:
    if faults:
        raise StoreUnavailableError(reason, "; ".join(fault.name for fault in faults))
