"""The Celery app of workers and beat, and how they run: in this process, without Celery's command line.

Celery's command line reads its own variables (BROKER_URL, LOADER, …), and imports modules of the current folder before
Kvitto's.
"""

import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any, Self

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import setup_logging
from kombu import Connection

import config.logging
from config.celery import schedule, wake_up_queues, worker_settings
from config.settings import BeatSettings


def _settings() -> dict[str, Any]:
    settings = BeatSettings.load()
    tasks = {"beat_schedule": schedule(settings.providers), "task_queues": wake_up_queues(settings.providers)}
    return worker_settings(settings.broker) | tasks


class _Connection(Connection):
    """A connection to the broker. While it is away, it is tried every 3 s; kombu's pauses grow to 30 s.

    No sweep reaches a worker in such a pause, however long the broker has been back.
    """

    def ensure_connection(self, *arguments: Any, **options: Any) -> Self:
        """Connect, as soon as the broker answers."""
        pauses = {"interval_start": 1, "interval_step": 1, "interval_max": 3}
        return super().ensure_connection(*arguments, **pauses | options)


class _Broker(AMQP):
    Connection = _Connection


app = Celery("kvitto", amqp=_Broker)
app.add_defaults(_settings)  # read at first use, so that importing this module needs no settings


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    config.logging.configure()


def _log_only() -> None:
    """Log to standard error, and discard standard output: Celery prints banners and other plain lines there."""
    config.logging.configure()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.__stdout__.fileno() if sys.__stdout__ else 1)


def run_worker(queues: Sequence[str], concurrency: int) -> int:
    """Run a worker for these queues in `concurrency` processes until SIGTERM; return the exit status.

    Celery only logs what a handler of its signals raises, so that what must succeed is called before Celery starts.
    """
    import workers.tasks  # noqa: F401
    from workers import lifecycle

    _log_only()
    lifecycle.start()
    node = app.Worker(
        hostname=f"{'+'.join(queues)}@{socket.gethostname()}",
        pool="prefork",
        optimization="fair",
        queues=list(queues),
        concurrency=concurrency,
        loglevel=logging.INFO,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    node.start()
    return node.exitcode or 0


def run_beat() -> None:
    """Run beat until SIGTERM."""
    from workers import beat

    _log_only()
    beat.start_canaries()
    app.Beat(loglevel="WARNING").run()
