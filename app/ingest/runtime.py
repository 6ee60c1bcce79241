"""How an edge process uses the operating system: thread switching, garbage collection, and a stop without refusals.

Linux is required for the scheduler class and for a graceful stop; elsewhere both are skipped.
"""

import ctypes
import gc
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress


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


# Enough for established connections to have their requests read; less than the 1 s after which a client retries a SYN.
_DROP_SECONDS = 0.5
_SO_ATTACH_FILTER = 26
# A classic BPF program, as (code, jump if true, jump if false, operand). It drops packets that would open a connection.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of TCP flags
    (0x45, 0, 1, 0x02),  # SYN?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # keep: handshakes in progress complete
)
logger = logging.getLogger(__name__)


def drain_on_sigterm() -> None:
    """On SIGTERM, drop new connections first and stop the server half a second later.

    So a restart behind a load balancer fails no delivery: connections that exist have their requests answered. A
    dropped SYN gets no answer; the client retries it after a second, is refused then, and goes to another server.

    Call it from the main thread before any other thread starts.
    """
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # inherited by every thread: only sigwait gets it
        threading.Thread(target=_await_sigterm, name="drain-on-sigterm", daemon=True).start()


def _await_sigterm() -> None:
    signal.sigwait({signal.SIGTERM})
    try:
        _drop_new_connections()
        time.sleep(_DROP_SECONDS)
    except OSError:
        logger.warning("drain_failed", exc_info=True)
    while True:  # Granian stops on SIGINT too. It ignores signals until it serves, so the signal is repeated.
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_DROP_SECONDS)


def _drop_new_connections() -> None:
    """Attach the filter to every listening socket. Granian does not expose its socket, so all descriptors are tried."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(buffer))
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            candidate = socket.socket(fileno=int(descriptor))
        except OSError:
            continue  # not a socket
        try:
            if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                candidate.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        finally:
            candidate.detach()  # the server closes it
