"""Wake-ups: one Celery task makes a worker drain an inbox, however many deliveries wait.

An append marks a wake-up as pending in the same round trip. Only the request that set the mark publishes the task
`drain`. The mark expires after a few seconds and sweeps come regardless: a lost wake-up costs seconds only.
"""

import logging
from collections.abc import Collection
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from redis.exceptions import RedisError

from app import metrics
from app.errors import StoreUnavailableError
from app.inbox.client import to_unavailable
from config.celery import PUBLISHER_OPTIONS, PUBLISHERS, broker_connection, wake_up_queues
from config.redis_address import RedisAddress

TASK = "drain"  # of workers.tasks
# A worker drops a task that is older: sweeps have drained the inbox meanwhile.
_EXPIRES_SECONDS = 30
logger = logging.getLogger(__name__)


class WakeupPublisher:
    """Publishes wake-ups, from any thread."""

    def __init__(self, broker: RedisAddress) -> None:
        import kombu  # noqa: PLC0415 - the import takes 0.1 s; most commands publish nothing
        from kombu.pools import ProducerPool  # noqa: PLC0415

        connection = kombu.Connection(**broker_connection(broker, PUBLISHER_OPTIONS))
        self._connections = connection.Pool(PUBLISHERS)
        self._producers = ProducerPool(self._connections, limit=PUBLISHERS)

    def publish(self, provider: str) -> None:
        """Publish a wake-up within the sockets' time-outs. A failure is counted and logged, never raised."""
        try:
            self.send(provider)
        except Exception as error:  # any error of the broker: the delivery is already stored
            metrics.WAKEUP_FAILURES.labels(provider).inc()
            logger.warning("wakeup_failed", extra={"provider": provider, "error": type(error).__name__})

    def close(self) -> None:
        """Close all connections."""
        self._connections.force_close_all()

    # ---- A Celery message without Celery: importing it would exceed the memory budget of every edge process.
    # The format is version 2 of Celery's message protocol.

    def send(self, provider: str) -> None:
        """Publish a wake-up; raises the errors of kombu and redis-py."""
        task_id = str(uuid4())
        expires_at = datetime.now(UTC) + timedelta(seconds=_EXPIRES_SECONDS)
        headers = {
            "lang": "py", "task": TASK, "id": task_id, "root_id": task_id, "parent_id": None, "group": None,
            "expires": expires_at.isoformat(),
        }  # fmt: skip
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        with self._producers.acquire(block=True) as producer:
            producer.publish(
                [[provider], {}, embed],  # args, kwargs, tasks that follow
                routing_key=provider,
                serializer="json",
                headers=headers,
                correlation_id=task_id,
                retry=False,
            )

    # ---- End of the Celery message.


def check(broker: RedisAddress, providers: Collection[str]) -> None:
    """Send a wake-up of each provider, and receive one, as publishers and workers do.

    A wake-up too many costs nothing.

    Raises:
        StoreUnavailableError: The broker does not answer, or this user may not do that.
    """
    import kombu  # noqa: PLC0415

    try:
        with (
            closing(WakeupPublisher(broker)) as publisher,
            kombu.Connection(**broker_connection(broker, PUBLISHER_OPTIONS)) as connection,
        ):
            channel: Any = connection.default_channel
            for queue in wake_up_queues(providers):
                queue.bind(channel).declare()
                publisher.send(queue.name)
                channel.client.brpop([queue.name], timeout=0.1)
    except Exception as error:  # any error of kombu, which wraps some of redis-py; its text may contain the address
        for each in (error, error.__cause__):
            if isinstance(each, RedisError):
                raise to_unavailable(each, "broker") from error
        raise StoreUnavailableError("broker-unreachable", type(error).__name__) from error
