"""Watches a store from a thread of its own, so that a broken one costs one slow request, not every request."""

import logging
import threading
import time
from collections.abc import Callable

from app.errors import Unavailable

_LOOK_SECONDS = 1.0
# A look takes milliseconds. One that takes this long tells of a store that would keep requests waiting, and one that
# does not end (a name that is not resolved, say) of a store that is gone.
_SLOW_SECONDS = 0.5
_HUNG_SECONDS = 2.0
logger = logging.getLogger(__name__)


class Watch:
    """Knows whether a store can be relied on: looks every second, and is told of what fails in between."""

    def __init__(self, store: str, look: Callable[[], bool]) -> None:
        """Watch `store`; `look` tells whether it has room, and raises Unavailable if it can keep nothing durably.

        A slow store counts as one without room: the other is preferred.
        """
        self._store = store
        self._look = look
        self._verdict: Unavailable | None = None
        self._looking_since: float | None = None
        self.has_room = True

    def start(self) -> None:
        """Look now, and from now on."""
        self.look()
        threading.Thread(target=self._run, name=f"watch-{self._store}", daemon=True).start()

    def look(self) -> None:
        """Look once."""
        self._looking_since = started = time.monotonic()
        try:
            self.has_room = self._look() and time.monotonic() - started < _SLOW_SECONDS
        except Unavailable as error:
            self.trip(error)
        except Exception as error:
            logger.exception("a look failed", extra={"store": self._store})
            self.trip(Unavailable("internal", type(error).__name__))
        else:
            if self._verdict is not None:
                logger.warning("relied on again", extra={"store": self._store})
            self._verdict = None
        finally:
            self._looking_since = None

    def trip(self, error: Unavailable) -> None:
        """Rely on the store no more, until a look finds it well."""
        if self._verdict is None:
            logger.error("not relied on", extra={"store": self._store, "reason": error.reason, "detail": error.detail})
        self._verdict = Unavailable(error.reason, error.detail)

    def check(self) -> None:
        """Raise Unavailable while the store is not to be relied on."""
        verdict, since = self._verdict, self._looking_since
        if since is not None and time.monotonic() - since > _HUNG_SECONDS:
            raise Unavailable("unresponsive", self._store)
        if verdict is not None:
            raise Unavailable(verdict.reason, verdict.detail)

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            self.look()
