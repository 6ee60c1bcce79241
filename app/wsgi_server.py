"""Serves a WSGI application with Granian: this process supervises, its forks answer.

A stop counts in a fork from its first moment. Granian forks with its own handler of SIGTERM, which does nothing
there: a stop while the fork still loads the application would be lost, and Granian would wait until it kills the fork.
"""

import importlib
import multiprocessing
import os
import signal
import sys
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.errors import FatalError
from granian.log import LogLevels

from config.granian import server_settings

_STOP = {signal.SIGTERM}


def serve(
    target: str, bind: tuple[str, int], threads: int, certificate: tuple[str, str] | None = None, processes: int = 1
) -> None:
    """Serve `target`, written `module:name`, on `bind` (host, port) until SIGTERM or SIGINT.

    What this process has imported already is shared by its forks. With a `certificate`, two PEM files of which the
    second is the key, it serves HTTPS. Exits 1 if it cannot serve.
    """
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork")  # the default up to Python 3.13
    os.register_at_fork(before=_hold_stop, after_in_parent=_release_stop, after_in_child=_end_on_stop)
    settings = server_settings(bind, threads, certificate, processes)
    fixed: dict[str, Any] = {
        "interface": Interfaces.WSGI,
        "http": HTTPModes.http1,
        "websockets": False,
        "log_level": LogLevels.warning,
    }
    server = Granian(target, **fixed, **settings)
    try:
        # Not Granian's own loader: it would let modules in the current folder go before ours.
        server.serve(target_loader=_load)
    except FatalError:
        sys.exit(1)


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _hold_stop() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)


def _release_stop() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


def _end_on_stop() -> None:
    # Until it serves; then Granian, or app.ingest.runtime, handles the signal.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _release_stop()
