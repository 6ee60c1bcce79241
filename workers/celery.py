"""The Celery app of workers and beat; `workers.start` runs it."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging

import config.logging
from config.celery import schedule, wake_up_queues, worker_settings
from config.settings import BeatSettings


def _settings() -> dict[str, Any]:
    settings = BeatSettings.load()
    beat = {"beat_schedule": schedule(settings.providers)}
    return worker_settings(settings.broker_url) | wake_up_queues(settings.providers) | beat


app = Celery("kvitto")
app.add_defaults(_settings)  # read at first use, so that importing this module needs no settings


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    config.logging.configure()
