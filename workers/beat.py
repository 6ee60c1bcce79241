"""Beat: the clock of the sweeps, which sends canaries as well."""

from contextlib import suppress
from typing import Any

from celery import beat
from celery.signals import beat_init

from app.canary.heartbeat import Heartbeat
from config.settings import BeatSettings
from workers.canary_sender import CanarySender

_WAKE_UPS = 20


class Scheduler(beat.Scheduler):
    """Keeps a queue's newest wake-ups only: a provider without a worker must not fill the broker, day by day."""

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send what is due, after whatever nobody took."""
        with suppress(Exception):  # a broker that is away has nothing to shorten, and sending says so
            channel: Any = self.connection.default_channel
            channel.client.ltrim(entry.options["queue"], 0, _WAKE_UPS)
        return super().apply_async(entry, producer, advance, **kwargs)


@beat_init.connect
def _send_canaries(**_: Any) -> None:
    settings = BeatSettings.load()
    if settings.canary_secret:
        heartbeat = Heartbeat(settings.ingest_url)
        CanarySender(
            settings.ingest_url, settings.canary_secret, settings.providers, heartbeat, settings.authority
        ).start()
