"""How an edge process uses the operating system: thread switching, garbage collection, a stop that drains first."""

import gc
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress

import config.logging

_REPEAT_SECONDS = 0.5
logger = logging.getLogger(__name__)


def tune_thread_switching() -> None:
    """Make threads switch quickly; call it before any other thread starts.

    A request is a few short bursts of work between waits. By default a thread that returns from a wait may queue 5 ms
    behind each other thread, so that a burst of one provider delays all providers. SCHED_BATCH keeps a thread that
    wakes up from preempting the running thread: that one holds the GIL, or is Redis about to reply.
    """
    sys.setswitchinterval(0.0005)
    with suppress(AttributeError, OSError):  # Linux only, and a container may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def freeze_startup_objects() -> None:
    """Exclude all objects made so far from garbage collection: a full collection stopped every request."""
    gc.collect()
    gc.freeze()


def drain_on_sigterm(draining: threading.Event, seconds: float) -> None:
    """On SIGTERM set `draining`, and stop the server `seconds` later.

    A restart behind a load balancer then fails no request: the balancer sees that `/readyz` answers 503 and sends new
    requests elsewhere, while this process still answers all that reach it. Call it from the main thread before any
    other thread starts.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # inherited by every thread: only sigwait gets it
    threading.Thread(target=_await_sigterm, args=(draining, seconds), name="drain-on-sigterm", daemon=True).start()


def _await_sigterm(draining: threading.Event, seconds: float) -> None:
    signal.sigwait({signal.SIGTERM})
    draining.set()
    logger.info("drain_started", extra={"seconds": seconds})
    time.sleep(seconds)
    config.logging.sum_up()  # the server ends this process without Python's own end
    while True:  # Granian stops on SIGINT too. It ignores signals until it serves, so the signal is repeated.
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_REPEAT_SECONDS)
