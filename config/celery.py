"""Celery's settings, each with the incident that it prevents.

Tasks carry no deliveries: losing, repeating or reordering one costs promptness only, so they are
acknowledged early, expire, and are never retried.
"""

from datetime import timedelta
from typing import Any

from kombu import Exchange, Queue

# A drain gives its slot back after this long, so that a sweep or a shutdown never waits for a backlog.
DRAIN_SECONDS = 5.0
SWEEP_SECONDS = 3.0
# Longer than a task may run: who has not acknowledged what it claimed by then is dead.
ABANDONED_SECONDS = 45
AUDIT_SECONDS = 30.0
# How many deliveries are taken in at once, at most.
BATCH_ENTRIES = 500
# After a batch of more than a few, so that what arrives together is stored together: a commit for every three
# would take the machine from other providers. What comes singly never waits, nor does a backlog: a batch was full.
GATHER_SECONDS = 0.05
FEW = 2
# For who only rings: fail fast, never block an answer to a provider. A ring that fails is made up for by the sweep.
PUBLISHER_OPTIONS = {
    # Default: wait for ever on a server that hangs. The edge has 0.3 s for a ring.
    "socket_timeout": 0.3,
    "socket_connect_timeout": 0.2,
    "max_retries": 0,  # default: connecting is tried again and again, for seconds, whatever `retry` says
    "priority_steps": [0],  # default: four keys polled per queue
}
PUBLISHERS = 32  # connections: at least the edge's threads, or publishers wait for each other


def worker_settings(broker_url: str) -> dict[str, Any]:
    """Return the settings of workers and beat."""
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # default: give up after 100, and a worker stands idle for good
        # A full or failing-over Redis answers with errors that would otherwise end the worker.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            "socket_timeout": 5,  # default: none, a half-open connection would wait for ever
            "socket_connect_timeout": 1,
            "socket_keepalive": True,
            "health_check_interval": 10,  # finds half-open connections of the consumer
            "priority_steps": [0],
        },
        "task_acks_late": False,  # a drain carries nothing; requeueing one would only pile up wake-ups
        "task_ignore_result": True,
        "task_time_limit": 30,  # a stuck drain must not hold its slot for ever
        "task_soft_time_limit": 25,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # never stop a store in mid-commit
        "worker_enable_remote_control": False,  # pub/sub, one more thing that fails on reconnect
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,  # logging is set up once, for every process alike
        "worker_redirect_stdouts": False,
        "worker_proc_alive_timeout": 10,  # a child killed while it starts holds up the others for this long
        "beat_max_loop_interval": 1,
        # In memory: the schedule's state is worth nothing after a restart, and the file system may be read-only.
        "beat_scheduler": "workers.beat:Scheduler",
    }


def wake_up_queues(providers: tuple[str, ...]) -> dict[str, Any]:
    """Return a queue per provider, whose wake-ups are taken off when they are handed out.

    An acknowledgement that fails is never made up for: with Redis killed under load a worker soon had as many
    outstanding as it may have, and took no wake-up ever again.
    """
    return {"task_queues": [Queue(name, Exchange(name), name, no_ack=True) for name in providers]}


def schedule(providers: tuple[str, ...]) -> dict[str, Any]:
    """Return beat's schedule: every provider's inbox is swept whether or not a wake-up is pending, and audited."""
    tasks = {"sweep": SWEEP_SECONDS, "audit": AUDIT_SECONDS}
    return {
        f"{task}-{provider}": {
            "task": task,
            "schedule": timedelta(seconds=seconds),
            "args": (provider,),
            # An unswept hour must not become a thousand sweeps; yet longer than a drain, or a backlog starves them.
            "options": {"queue": provider, "expires": 6 * DRAIN_SECONDS},
        }
        for task, seconds in tasks.items()
        for provider in providers
    }
