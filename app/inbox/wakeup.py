"""The doorbell: one wake-up for however many deliveries wait.

Who appends presses it in the same round trip; only who found it silent sends `drain`. It rings
itself out after a few seconds, and the sweep comes anyway: a lost wake-up costs promptness only.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from redis import Redis

from app import metrics
from app.errors import StoreUnavailableError
from config.celery import PUBLISHER_OPTIONS, PUBLISHERS

if TYPE_CHECKING:
    from redis.client import Pipeline

SECONDS = 5
# A wake-up that nobody takes for so long is made up for by sweeps.
_EXPIRES_SECONDS = 30
_NO_CALLBACKS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
logger = logging.getLogger(__name__)


def mark_pending(pipeline: "Pipeline", provider: str) -> None:
    """Add the pressing to a pipeline; its reply is true for who has to ring."""
    pipeline.set(key(provider), 1, nx=True, ex=SECONDS)


def clear(redis: Redis, provider: str) -> None:
    """Let the next press ring again; called before looking into the inbox, so that none is missed."""
    redis.delete(key(provider))


class WakeupPublisher:
    """Sends wake-ups, from any thread. Messages of Celery's, by kombu alone: Celery would take memory of every edge."""

    def __init__(self, broker_url: str) -> None:
        import kombu  # noqa: PLC0415 - it costs 0.1 s; most commands send nothing
        from kombu.pools import ProducerPool  # noqa: PLC0415

        connection = kombu.Connection(broker_url, transport_options=PUBLISHER_OPTIONS)
        self._producers = ProducerPool(connection.Pool(PUBLISHERS), limit=PUBLISHERS)

    def publish(self, provider: str) -> None:
        """Send the provider's worker to its inbox, in the time its sockets allow; a failure is counted, no more."""
        wake_up = str(uuid4())
        expires_at = datetime.now(UTC) + timedelta(seconds=_EXPIRES_SECONDS)
        headers = {
            "lang": "py", "task": "drain", "id": wake_up, "root_id": wake_up, "parent_id": None, "group": None,
            "expires": expires_at.isoformat(),
        }  # fmt: skip
        try:
            with self._producers.acquire(block=True) as producer:
                producer.publish(
                    [[provider], {}, _NO_CALLBACKS],  # version 2 of Celery's protocol: args, kwargs, what follows
                    routing_key=provider,
                    serializer="json",
                    headers=headers,
                    correlation_id=wake_up,
                    retry=False,
                )
        except Exception as error:  # whatever the broker raises, the delivery is safe already
            metrics.WAKEUP_FAILURES.labels(provider).inc()
            logger.warning("ring failed", extra={"provider": provider, "error": type(error).__name__})


def ping(broker_url: str) -> None:
    """Raise StoreUnavailableError unless the broker answers."""
    import kombu  # noqa: PLC0415

    try:
        with kombu.Connection(broker_url, transport_options=PUBLISHER_OPTIONS) as connection:
            connection.connect()
    except Exception as error:  # whatever the broker's client raises; its text may hold the address
        raise StoreUnavailableError("broker-unreachable", type(error).__name__) from error


def key(provider: str) -> str:
    """Return the name of what is pressed."""
    return f"doorbell:{provider}"
