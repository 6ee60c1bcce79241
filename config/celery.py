"""Celery's settings, each with the incident that it prevents.

Tasks carry no deliveries. A task that is lost, repeated or reordered costs only promptness, so tasks are acknowledged
early, expire, and are never retried.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from kombu import Exchange, Queue

from config.redis_address import RedisAddress

# A drain ends after this long, so that a sweep or a shutdown never waits for a backlog.
DRAIN_LIMIT_SECONDS = 5.0
SWEEP_SECONDS = 3.0
# Longer than a task may run: a consumer that has not acknowledged its claim by then is dead.
ABANDONED_SECONDS = 45
AUDIT_SECONDS = 30.0
SILENCE_SECONDS = 30.0
# Partitions are made and old rows removed in steps of seconds: a month has time for thousands.
RETAIN_SECONDS = 600.0
# Largest number of deliveries in one batch.
BATCH_ENTRIES = 500
# How long to wait after a batch of more than FEW_ENTRIES, so that what arrives together is stored together: a commit
# for every three would take the machine from other providers. A single delivery never waits, and a backlog does not
# either, since its batches are full.
GATHER_SECONDS = 0.05
FEW_ENTRIES = 2
# For publishers of wake-ups: fail fast, never block an answer to a provider. The sweep replaces a failed wake-up.
PUBLISHER_OPTIONS = {
    # Default: wait for ever for a server that hangs. Ingest has 0.3 s for a wake-up.
    "socket_timeout": 0.3,
    "socket_connect_timeout": 0.2,
    "max_retries": 0,  # default: retry the connection for seconds, whatever `retry` says
    "priority_steps": [0],  # default: poll four keys per queue
}
_WORKER_OPTIONS = {
    "socket_timeout": 5,  # default: none; a half-open connection would wait for ever
    "socket_connect_timeout": 1,
    "socket_keepalive": True,
    "health_check_interval": 10,  # finds half-open connections of the consumer
    "priority_steps": [0],
}
PUBLISHERS = 32  # connections: more than ingest's STORE_THREADS, or publishers wait for each other


def sentinel_options(address: RedisAddress) -> dict[str, Any]:
    """Return how any client of redis-py connects to sentinels: all of them are asked within a request's time."""
    from redis.backoff import NoBackoff  # noqa: PLC0415 - processes without Redis import this module too
    from redis.retry import Retry  # noqa: PLC0415

    from config.redis_login import sentinel_login_options  # noqa: PLC0415

    tls = {"ssl": True, **address.tls_options} if address.tls else {}
    return {
        "socket_timeout": 0.3,
        "socket_connect_timeout": 0.2,
        "retry": Retry(NoBackoff(), 0),
        **tls,
        **sentinel_login_options(address),
    }


def broker_connection(address: RedisAddress, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of kombu's connection: its own writing of the address, and these transport options.

    With the address, since our transports log in by themselves.
    """
    options = options | {"address": address}
    if address.primary:
        options = options | {"master_name": address.primary, "sentinel_kwargs": sentinel_options(address)}
    return {
        "hostname": address.kombu_url,
        "transport": f"app.inbox.broker_transport:{'Sentinel' if address.primary else ''}Transport",
        "ssl": address.tls_options if address.tls else False,  # kombu's default for TLS verifies nothing
        "transport_options": options,
    }


def worker_settings(broker: RedisAddress) -> dict[str, Any]:
    """Return the settings of workers and beat."""
    connection = broker_connection(broker, _WORKER_OPTIONS)
    return {
        # Celery would prefer a variable CELERY_BROKER_URL to its setting `broker_url`; it has a syntax of its own.
        "broker_read_url": connection["hostname"],
        "broker_write_url": connection["hostname"],
        "broker_transport": connection["transport"],
        "broker_use_ssl": connection["ssl"],
        "broker_transport_options": connection["transport_options"],
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # default: give up after 100 tries, and a worker stays idle for good
        # A full or failing-over Redis answers with errors that would otherwise end the worker.
        "broker_channel_error_retry": True,
        "task_acks_late": False,  # a drain carries nothing; requeueing it would only accumulate wake-ups
        "task_ignore_result": True,
        "task_time_limit": 30,  # a stuck drain must not hold its process for ever
        "task_soft_time_limit": 25,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # never interrupt a commit
        "worker_enable_remote_control": False,  # pub/sub, one more thing that fails on reconnect
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,  # config.logging configures every process alike
        "worker_redirect_stdouts": False,
        "worker_proc_alive_timeout": 10,  # a child killed during its start blocks the others for this long
        "beat_max_loop_interval": 1,
        # In memory: a schedule's state is worth nothing after a restart, and the file system may be read-only.
        "beat_scheduler": "workers.beat:Scheduler",
    }


def wake_up_queues(providers: Collection[str]) -> list[Queue]:
    """Return a queue per provider, whose wake-ups are acknowledged on delivery.

    A failed acknowledgement is never repeated. With Redis killed under load, a worker soon had as many unacknowledged
    wake-ups as it may have, and took none ever again.
    """
    return [Queue(name, Exchange(name), name, no_ack=True) for name in providers]


def schedule(providers: tuple[str, ...]) -> dict[str, Any]:
    """Return beat's schedule: sweep, audit and retention of every provider, with or without wake-ups.

    And a look at how long the provider has been silent.
    """
    tasks = {
        "sweep": SWEEP_SECONDS,
        "audit": AUDIT_SECONDS,
        "retain": RETAIN_SECONDS,
        "silence": SILENCE_SECONDS,
    }
    return {
        f"{task}-{provider}": {
            "task": task,
            "schedule": timedelta(seconds=seconds),
            "args": (provider,),
            # An hour without a worker must not become a thousand sweeps. Longer than a drain, or a backlog would
            # let every sweep expire.
            "options": {"queue": provider, "expires": 6 * DRAIN_LIMIT_SECONDS},
        }
        for task, seconds in tasks.items()
        for provider in providers
    }
