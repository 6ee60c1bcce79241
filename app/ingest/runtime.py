"""How the interpreter of an edge process shares out its time: for requests of a few short bursts each."""

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


def take_turns() -> None:
    """Have threads give way soon to one that comes back from a wait, and not be pushed away; before others are started.

    By default a thread that comes back may stand 5 ms behind each of the others; a burst of one provider would delay
    all. Nor does a thread that wakes up push away one that runs: that one holds the interpreter, or is Redis about to
    answer.
    """
    sys.setswitchinterval(0.0005)
    with suppress(AttributeError, OSError):  # Linux only, and a container may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def freeze() -> None:
    """Look no more through what lives as long as the process: a full collection held up every request."""
    gc.collect()
    gc.freeze()


# Ample for connections that exist to have their requests read; less than who gets no answer waits to try again.
_TURNING_AWAY_SECONDS = 0.5
_SO_ATTACH_FILTER = 26
# A classic BPF program, as (code, jump if true, jump if false, operand): drop packets that would open a connection.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of TCP flags
    (0x45, 0, 1, 0x02),  # SYN?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # keep: handshakes under way are completed
)
logger = logging.getLogger(__name__)


def stop_gently() -> None:
    """Turn new connections away on SIGTERM, and hand it on to the server a moment later.

    To be called from the main thread, before any other thread is started. Only Linux can turn away; who knocks gets
    no answer, tries again after a second, is refused, and goes to another server.
    """
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # in every thread: only sigwait sees it
        threading.Thread(target=_await_stop, name="stopping", daemon=True).start()


def _await_stop() -> None:
    signal.sigwait({signal.SIGTERM})
    try:
        _turn_away()
        time.sleep(_TURNING_AWAY_SECONDS)
    except OSError:
        logger.warning("stopping at once", exc_info=True)
    finally:
        _stop()


def _stop() -> None:
    """Have Granian stop, which it does on SIGINT too; until it serves it hears nothing, so it is told again."""
    while True:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_TURNING_AWAY_SECONDS)


def _turn_away() -> None:
    """Have the kernel drop what would open a connection to this process; the server keeps its socket to itself."""
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=int(name))
        except OSError:
            continue  # no socket
        try:
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                _attach(found)
        finally:
            found.detach()  # the server's to close


def _attach(listener: socket.socket) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(buffer))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
