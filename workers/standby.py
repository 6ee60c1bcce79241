"""Sweeps inboxes that nobody sweeps.

Wake-ups travel through the broker. A full Redis refuses them, and only draining would make room: so
each worker watches by itself, and has an inbox drained that nobody else has looked into for longer than
sweeps ever take.
"""

import logging
import subprocess
import threading
import time
from collections.abc import Sequence
from uuid import UUID

from app.errors import Unavailable
from config.variables import PYTHON
from workers.station import Station

_LOOK_SECONDS = 5.0
# Longer than Celery lets a task run: who is hung in one is ended before anyone stands in for it.
_PATIENCE_SECONDS = 35.0
_LIMIT_SECONDS = 30.0
logger = logging.getLogger(__name__)


class Standby(threading.Thread):
    """Watches every inbox from the main process. Deliveries are opened in a process apart, which a limit ends:
    one that never comes to an end must not take the main process along.
    """  # noqa: D205 - one thought

    def __init__(self, stations: Sequence[Station], worker: UUID) -> None:
        super().__init__(name="standby", daemon=True)
        self._stations = stations
        self._worker = worker
        # Under which slot each inbox was last swept from here: its own looks are not somebody else's.
        self._slots: dict[str, str] = {}

    def run(self) -> None:
        """Watch until the process ends."""
        while True:
            time.sleep(_LOOK_SECONDS)
            for station in self._stations:
                self._look(station)

    def _look(self, station: Station) -> None:
        provider = station.inbox.provider
        try:
            if self._is_neglected(station):
                logger.warning("nobody drains: standing in", extra={"provider": provider})
                self._stand_in(provider)
        except Unavailable:
            return  # nothing to drain to: looked at again soon
        except Exception:
            logger.exception("standing in failed", extra={"provider": provider})

    def _stand_in(self, provider: str) -> None:
        command = [*PYTHON, "-m", "workers.stand_in", provider, str(self._worker)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sweep:  # noqa: S603 - our own
            assert sweep.stdout is not None  # noqa: S101
            timer = threading.Timer(_LIMIT_SECONDS, sweep.kill)
            timer.start()
            self._slots[provider] = sweep.stdout.readline().strip()
            sweep.wait()
            timer.cancel()

    def _is_neglected(self, station: Station) -> bool:
        """Tell whether something waits that nobody looks after; no wake-up comes through a Redis that is gone."""
        waits = station.waits_in_overflow()
        try:
            waits = waits or station.waits_in_inbox()
            own = self._slots.get(station.inbox.provider, "")
            return waits and station.inbox.unattended_seconds(but_by=own) > _PATIENCE_SECONDS
        except Unavailable:
            return waits
