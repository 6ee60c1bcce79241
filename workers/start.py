"""Runs a Celery worker or beat in this process, without Celery's command line.

Celery's command line reads its own variables (BROKER_URL, LOADER, …), and imports modules of the current folder before
Kvitto's.
"""

import logging
from collections.abc import Sequence

from workers.celery import app


def worker(queues: Sequence[str], concurrency: int) -> int:
    """Run a worker for these queues in `concurrency` processes until SIGTERM; return the exit status."""
    import workers.lifecycle
    import workers.tasks  # noqa: F401

    node = app.Worker(
        hostname=f"{'+'.join(queues)}@%h",
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


def beat() -> None:
    """Run beat until SIGTERM."""
    import workers.beat  # noqa: F401

    app.Beat(loglevel="WARNING").run()
