"""The Celery tasks. They carry no delivery: a lost or repeated task costs or saves a moment only."""

import logging

from workers import lifecycle
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
    """Empty the provider's inbox on schedule, without a wake-up."""
    try:
        lifecycle.consumer(provider).sweep()
    except Exception:
        logger.exception("sweep_failed", extra={"provider": provider})


@app.task(name="audit")
def audit(provider: str) -> None:
    """Account for every entry that the provider's inbox ever held."""
    try:
        lifecycle.audit_task(provider)()
    except Exception:
        logger.exception("audit_failed", extra={"provider": provider})
