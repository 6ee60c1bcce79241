"""The tasks. They carry no delivery: losing one, or running it twice, costs or saves a moment only."""

import logging

from workers import lifecycle
from workers.celery import app

logger = logging.getLogger(__name__)


@app.task(name="drain")
def drain(provider: str) -> None:
    """Empty the provider's inbox: someone rang."""
    try:
        lifecycle.consumer(provider).drain()
    except Exception:
        logger.exception("drain failed", extra={"provider": provider})


@app.task(name="sweep")
def sweep(provider: str) -> None:
    """Empty the provider's inbox whether or not someone rang."""
    try:
        lifecycle.consumer(provider).sweep()
    except Exception:
        logger.exception("sweep failed", extra={"provider": provider})


@app.task(name="audit")
def audit(provider: str) -> None:
    """Account for every entry that the provider's inbox ever held."""
    try:
        lifecycle.audit_task(provider).audit()
    except Exception:
        logger.exception("audit failed", extra={"provider": provider})
