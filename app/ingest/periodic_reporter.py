"""Reports to Postgres every few seconds what an edge has collected, so that no request waits for it."""

import logging
import threading
from abc import ABC, abstractmethod

from app.errors import StoreUnavailableError

logger = logging.getLogger(__name__)


class PeriodicReporter(threading.Thread, ABC):
    """A thread that reports until the process ends, and once more then. A failed report is repeated with the next."""

    def __init__(self, what: str, seconds: float) -> None:
        """Report `what`, every so many seconds."""
        super().__init__(name=f"report-{what}")
        self._what = what
        self._seconds = seconds

    def run(self) -> None:
        """Report until the main thread ends."""
        main = threading.main_thread()
        while main.is_alive():
            main.join(self._seconds)
            self.try_report()

    def try_report(self) -> None:
        """Report; log a failure, unless it is a store's."""
        try:
            self._report()
        except StoreUnavailableError:
            pass  # Postgres' circuit breaker logs it
        except Exception:
            logger.exception("report_failed", extra={"what": self._what})

    @abstractmethod
    def _report(self) -> None:
        """Report what is collected; keep what could not be reported."""
