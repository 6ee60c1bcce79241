"""Does the same every few seconds in a thread of its own, so that no request does it or waits for it."""

import logging
import threading
from abc import ABC, abstractmethod

from app.errors import StoreUnavailableError

logger = logging.getLogger(__name__)


class PeriodicTask(threading.Thread, ABC):
    """A thread that repeats `once` until the process ends. After a failure it tries again at the next time."""

    def __init__(self, what: str, seconds: float, *, also_at_end: bool = False) -> None:
        """Repeat every so many seconds what `what` names; with `also_at_end`, once more when the main thread ends."""
        super().__init__(name=f"periodic-{what}", daemon=not also_at_end)
        self._what = what
        self._seconds = seconds

    def run(self) -> None:
        """Repeat until the main thread ends."""
        main = threading.main_thread()
        while main.is_alive():
            main.join(self._seconds)
            self.try_once()

    def try_once(self) -> None:
        """Do it once; log a failure, unless it is a store's."""
        try:
            self.once()
        except StoreUnavailableError:
            pass  # the store's circuit breaker logs it
        except Exception:
            logger.exception("periodic_task_failed", extra={"what": self._what})

    @abstractmethod
    def once(self) -> None:
        """Do it once."""
