"""Serves an application with Granian: this process supervises, its forks answer.

Granian forks with its own SIGTERM handler, which does nothing in a fork. A SIGTERM that arrives while the fork still
loads the application would be lost, and Granian would wait until it kills the fork. So SIGTERM is blocked during the
fork, and a fork starts with the default handler, which ends it.
"""

import ctypes
import gc
import importlib
import multiprocessing
import os
import pkgutil
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.errors import FatalError
from granian.http import HTTP1Settings
from granian.log import LogLevels

from config.granian import (
    CONNECTIONS,
    KEEP_ALIVE_SECONDS,
    MALLOC_ARENAS,
    MMAP_THRESHOLD_BYTES,
    OTHER_FILES,
    WORKERS_KILL_TIMEOUT,
)

# Without handlers of their own their lines go where all lines go.
_GRANIAN_LOGGERS = ("_granian", "granian.access")
# Parameters of malloc.h, and what ingest sets them to, by the environment variable that sets them otherwise.
_MALLOPT = {"MALLOC_MMAP_THRESHOLD_": (-3, MMAP_THRESHOLD_BYTES), "MALLOC_ARENA_MAX": (-8, MALLOC_ARENAS)}
_block_sigterm = partial(signal.pthread_sigmask, signal.SIG_BLOCK, {signal.SIGTERM})
_unblock_sigterm = partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, {signal.SIGTERM})


def serve_wsgi(name: str, target: str, bind: tuple[str, int], threads: int, processes: int = 1) -> None:
    """Serve the WSGI application `target`, written `module:name`, until SIGTERM or SIGINT, as a process `name`."""
    _serve(
        name, Interfaces.WSGI, bind, lambda: pkgutil.resolve_name(target), blocking_threads=threads, workers=processes
    )


def serve_edge(bind: tuple[str, int], processes: int, drain_seconds: int, certificate: tuple[str, str] | None) -> None:
    """Serve ingest on `bind` (host, port) until SIGTERM, and `drain_seconds` more, or until SIGINT.

    With a `certificate`, two PEM files of which the second is the key, it serves HTTPS.
    """
    chain, key = (Path(certificate[0]), Path(certificate[1])) if certificate else (None, None)
    _serve(
        "kvitto ingest",
        Interfaces.RSGI,
        bind,
        lambda: importlib.import_module("app.ingest.rsgi").create(),
        loop=Loops.uvloop,
        workers=processes,
        workers_kill_timeout=drain_seconds + WORKERS_KILL_TIMEOUT,
        ssl_cert=chain,
        ssl_key=key,
    )


def limit_memory() -> None:
    """Limit the memory that glibc's allocator keeps. Other C libraries have no mallopt: there it does nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for variable, (parameter, value) in _MALLOPT.items():
        if mallopt and variable not in os.environ:
            mallopt(parameter, value)


def _serve(name: str, interface: Interfaces, bind: tuple[str, int], load: Callable[[], Any], **options: Any) -> None:
    """Serve what `load` returns in each fork; exit 1 if that is impossible.

    Forks share the memory of modules that this process has already imported.
    """
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)  # the default up to Python 3.13
    gc.freeze()  # a collection in a fork would write to what both share, and so copy all of it
    os.register_at_fork(before=_block_sigterm, after_in_parent=_unblock_sigterm, after_in_child=_end_on_sigterm)
    server = Granian(
        interface.value,  # `load` knows the target
        address=bind[0],
        port=bind[1],
        interface=interface,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=KEEP_ALIVE_SECONDS * 1000),
        websockets=False,
        backpressure=_most_connections(),
        respawn_failed_workers=True,
        respawn_interval=0.1,
        process_name=name,
        log_level=LogLevels.warning,
        log_dictconfig={"formatters": {}, "handlers": {}, "loggers": {name: {} for name in _GRANIAN_LOGGERS}},
        **{"workers_kill_timeout": WORKERS_KILL_TIMEOUT} | options,
    )
    try:
        # Granian's own loader would import modules of the current folder before Kvitto's.
        server.serve(target_loader=lambda _target: load())
    except FatalError:
        sys.exit(1)


def _most_connections() -> int:
    """Allow this process as many open files as it may have, and return how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(soft - OTHER_FILES, OTHER_FILES)
    return CONNECTIONS


def _end_on_sigterm() -> None:
    # Until the fork serves. Then Granian handles the signal, or app.ingest.runtime.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock_sigterm()
