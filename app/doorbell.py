"""The doorbell: one wake-up for however many deliveries wait.

Who appends presses it in the same round trip; only who found it silent sends `drain`. It rings
itself out after a few seconds, and the sweep comes anyway: a lost wake-up costs promptness only.
"""

import logging
from typing import TYPE_CHECKING

import kombu
from celery import Celery
from redis import Redis

from app import metrics
from app.errors import Unavailable
from config.celery import publisher_settings

if TYPE_CHECKING:
    from redis.client import Pipeline

SECONDS = 5
logger = logging.getLogger(__name__)


def press(pipeline: "Pipeline", provider: str) -> None:
    """Add the pressing to a pipeline; its reply is true for who has to ring."""
    pipeline.set(key(provider), 1, nx=True, ex=SECONDS)


def clear(redis: Redis, provider: str) -> None:
    """Let the next press ring again; called before looking into the inbox, so that none is missed."""
    redis.delete(key(provider))


def ring(celery: Celery, provider: str) -> None:
    """Send the provider's worker to its inbox, in the time its sockets allow; a failure is counted, no more."""
    try:
        celery.send_task("drain", args=[provider], queue=provider, expires=30, retry=False)
    except Exception as error:  # whatever the broker raises, the delivery is safe already
        metrics.RINGS_FAILED.labels(provider).inc()
        logger.warning("ring failed", extra={"provider": provider, "error": type(error).__name__})


def reach(broker_url: str) -> None:
    """Raise Unavailable unless the broker answers."""
    options = publisher_settings(broker_url)["broker_transport_options"]
    try:
        with kombu.Connection(broker_url, transport_options=options) as connection:
            connection.connect()
    except Exception as error:  # whatever the broker's client raises; its text may hold the address
        raise Unavailable("broker-unreachable", type(error).__name__) from error


def key(provider: str) -> str:
    """Return the name of what is pressed."""
    return f"doorbell:{provider}"
