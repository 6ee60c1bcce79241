"""Beat: the clock of the sweeps, which sends canaries besides: `celery -A workers.beat beat`."""

from typing import Any

from celery.signals import beat_init

from app.heartbeat import Heartbeat
from config.settings import BeatSettings
from workers.celery import app
from workers.sender import Sender

__all__ = ["app"]


@beat_init.connect
def _send_canaries(**_: Any) -> None:
    settings = BeatSettings.load()
    if settings.canary_secret:
        heartbeat = Heartbeat(settings.ingest_url)
        Sender(settings.ingest_url, settings.canary_secret, settings.providers, heartbeat, settings.authority).start()
