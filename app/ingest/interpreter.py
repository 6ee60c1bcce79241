"""How the interpreter of an edge process shares out its time: for requests of a few short bursts each."""

import gc
import os
import sys
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
