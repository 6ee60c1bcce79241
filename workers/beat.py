"""Beat: schedules sweeps and audits, and sends canaries."""

from contextlib import suppress
from typing import Any

from celery import beat
from celery.signals import beat_init

from app.canary.heartbeat import Heartbeat
from config.settings import BeatSettings
from workers.canary_sender import CanarySender

_MAX_QUEUED = 20


class Scheduler(beat.Scheduler):
    """Keeps only a queue's newest tasks, so that a provider without a worker does not fill the broker over days."""

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Trim the queue, then send a task that is due."""
        with suppress(Exception):  # an unavailable broker has nothing to trim, and sending logs the error
            channel: Any = self.connection.default_channel
            channel.client.ltrim(entry.options["queue"], 0, _MAX_QUEUED)
        return super().apply_async(entry, producer, advance, **kwargs)


@beat_init.connect
def _start_canary_sender(**_: Any) -> None:
    settings = BeatSettings.load()
    if settings.canary_secret:
        heartbeat = Heartbeat(settings.ingest_url)
        CanarySender(
            settings.ingest_url, settings.canary_secret, settings.providers, heartbeat, settings.authority
        ).start()
