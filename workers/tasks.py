"""The Celery tasks. They carry no delivery: a lost or repeated task costs or saves a moment only."""

import logging

from app import metrics
from app.errors import StoreUnavailableError
from app.storage import credentials
from workers import audit_task, lifecycle, retention_task, silence_watch
from workers.celery import app

logger = logging.getLogger(__name__)


@app.task(name="drain")
def drain(provider: str) -> None:
    """Empty the provider's inbox after a wake-up."""
    try:
        lifecycle.consumer(provider).drain()
    except Exception:
        logger.exception("drain_failed", extra={"provider": provider})


@app.task(name="sweep")
def sweep(provider: str) -> None:
    """Do what operators ask for in the console, then empty the provider's inbox on schedule, without a wake-up.

    In this order: a person waits, and an inbox may take all the time that the task has.
    """
    _operate(provider)
    try:
        lifecycle.consumer(provider).sweep()
    except Exception:
        logger.exception("sweep_failed", extra={"provider": provider})


@app.task(name="audit")
def audit(provider: str) -> None:
    """Account for every entry that the provider's inbox ever held."""
    try:
        audit_task.run(lifecycle.consumer(provider))
    except Exception:
        logger.exception("audit_failed", extra={"provider": provider})


def _operate(provider: str) -> None:
    try:
        lifecycle.operator_jobs(provider).work()
    except StoreUnavailableError:
        return  # the audit logs it
    except Exception:
        logger.exception("operator_job_failed", extra={"provider": provider})


@app.task(name="silence")
def silence(provider: str) -> None:
    """Find out whether the provider has been silent for longer than chance explains; report which keys were used."""
    settings = lifecycle.worker_settings()
    try:
        with lifecycle.consumer(provider).ledger.connected() as connection:
            silence_watch.watch(connection, provider, settings.time_zone, settings.quiet_hours)
            credentials.record(connection, metrics.last_uses())
    except StoreUnavailableError:
        return  # the audit logs it
    except Exception:
        logger.exception("silence_watch_failed", extra={"provider": provider})


@app.task(name="retain")
def retain(provider: str) -> None:
    """Make the partitions of the next months, and remove what is older than its limit."""
    try:
        retention_task.run(lifecycle.consumer(provider), lifecycle.retention())
    except Exception:
        logger.exception("retention_failed", extra={"provider": provider})
