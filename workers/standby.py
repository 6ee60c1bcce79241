"""Sweeps inboxes that nobody sweeps.

Wake-ups travel through the broker. A full Redis refuses them, and only draining would make room: so
each worker looks by itself, and drains what has waited for longer than wake-ups ever take.
"""

import logging
import threading
import time
from collections.abc import Mapping

from app.errors import Unavailable
from app.inbox import Inbox
from workers.station import Station

_LOOK_SECONDS = 5.0
_PATIENCE_SECONDS = 20.0
logger = logging.getLogger(__name__)


class Standby(threading.Thread):
    """Looks into each inbox every few seconds; its stations are used by no one else."""

    def __init__(self, stations: Mapping[Inbox, Station]) -> None:
        super().__init__(name="standby", daemon=True)
        self._stations = stations

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            time.sleep(_LOOK_SECONDS)
            for inbox, station in self._stations.items():
                try:
                    if inbox.backlog().waiting_seconds > _PATIENCE_SECONDS:
                        logger.warning("nobody drains: standing in", extra={"provider": inbox.provider})
                        station.sweep()
                except Unavailable:
                    continue  # nothing to drain from, or to: looked at again soon
                except Exception:
                    logger.exception("standing in failed", extra={"provider": inbox.provider})
