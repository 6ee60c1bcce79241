"""Serves a WSGI application with Granian: this process supervises, its forks answer.

Granian forks with its own SIGTERM handler, which does nothing in a fork. A SIGTERM that arrives while the fork still
loads the application would be lost, and Granian would wait until it kills the fork. So SIGTERM is blocked during the
fork, and a fork starts with the default handler, which ends it.
"""

import multiprocessing
import os
import pkgutil
import signal
import sys
from functools import partial
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.errors import FatalError
from granian.log import LogLevels

from config.granian import CONNECTIONS, WORKERS_KILL_TIMEOUT

_block_sigterm = partial(signal.pthread_sigmask, signal.SIG_BLOCK, {signal.SIGTERM})
_unblock_sigterm = partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, {signal.SIGTERM})


def serve(
    name: str,
    target: str,
    bind: tuple[str, int],
    threads: int,
    certificate: tuple[str, str] | None = None,
    processes: int = 1,
) -> None:
    """Serve `target`, written `module:name`, on `bind` (host, port) until SIGTERM or SIGINT, as a process `name`.

    Forks share the memory of modules that this process has already imported. With a `certificate`, two PEM files of
    which the second is the key, it serves HTTPS. Exits 1 if it cannot serve.
    """
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)  # the default up to Python 3.13
    os.register_at_fork(before=_block_sigterm, after_in_parent=_unblock_sigterm, after_in_child=_end_on_sigterm)
    chain, key = (Path(certificate[0]), Path(certificate[1])) if certificate else (None, None)
    server = Granian(
        target,
        address=bind[0],
        port=bind[1],
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=processes,
        blocking_threads=threads,  # one per concurrent request; each waits for one fsync, shared with the others
        backpressure=max(CONNECTIONS, threads),
        workers_kill_timeout=WORKERS_KILL_TIMEOUT,
        respawn_failed_workers=True,
        respawn_interval=0.1,
        process_name=name,
        ssl_cert=chain,
        ssl_key=key,
        log_level=LogLevels.warning,
    )
    try:
        # Granian's own loader would import modules of the current folder before Kvitto's.
        server.serve(target_loader=pkgutil.resolve_name)
    except FatalError:
        sys.exit(1)


def _end_on_sigterm() -> None:
    # Until the fork serves. Then Granian handles the signal, or app.ingest.runtime.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock_sigterm()
