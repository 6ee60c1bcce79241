"""Granian, in whose worker a stop counts from its first moment: `python -m app.local.granian …`.

Granian forks its worker with its own handler of SIGTERM, which does nothing there: a stop while the worker still
imports the application would be lost, and Granian would wait for it until it kills it.
"""

import os
import signal

from granian.cli import entrypoint

_STOP = {signal.SIGTERM}


def _hold() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


def _heed() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until it serves: then Granian, or app.ingest.stopping, handles it
    _release()


if __name__ == "__main__":
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_heed)
    entrypoint()  # type: ignore[no-untyped-call]
