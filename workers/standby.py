"""Sweeps inboxes that nobody sweeps.

Wake-ups travel through the broker. A full Redis refuses them, and only draining would make room: so
each worker watches by itself, and drains an inbox that nobody else has looked into for longer than
sweeps ever take.
"""

import logging
import threading
import time
from collections.abc import Sequence

from app.errors import Unavailable
from workers.slots import Slot
from workers.station import Station

_LOOK_SECONDS = 5.0
_PATIENCE_SECONDS = 20.0
logger = logging.getLogger(__name__)


class Standby(threading.Thread):
    """Watches every inbox. Its slot and its stations are used by no one else; it holds the slot as long as it lives."""

    def __init__(self, slot: Slot, stations: Sequence[Station]) -> None:
        super().__init__(name="standby", daemon=True)
        self._slot = slot
        self._stations = stations

    def run(self) -> None:
        """Watch until the process ends."""
        while True:
            time.sleep(_LOOK_SECONDS)
            for station in self._stations:
                self._look(station)

    def _look(self, station: Station) -> None:
        try:
            if self._is_neglected(station):
                logger.warning("nobody drains: standing in", extra={"provider": station.inbox.provider})
                station.start()
                station.sweep()
        except Unavailable:
            return  # nothing to drain to: looked at again soon
        except Exception:
            logger.exception("standing in failed", extra={"provider": station.inbox.provider})

    def _is_neglected(self, station: Station) -> bool:
        """Tell whether something waits that nobody looks after; no wake-up comes through a Redis that is gone."""
        waits = station.waits_in_overflow()
        try:
            waits = waits or station.waits_in_inbox()
            return waits and station.inbox.unattended_seconds(but_by=self._slot.name) > _PATIENCE_SECONDS
        except Unavailable:
            return waits
