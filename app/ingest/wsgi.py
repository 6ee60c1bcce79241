"""What the WSGI server loads: `granian --interface wsgi app.ingest.wsgi:app`."""

import gc
import os
import sys
from contextlib import suppress

import config.logging
from app.ingest.application import create_app
from app.ingest.stopping import stop_gently
from config.environment import Environment

# A request is a few short bursts of Python between waits for Redis. By default a thread that comes back from
# a wait may stand 5 ms behind each of the others; a burst of one provider would delay all.
sys.setswitchinterval(0.0005)
# Nor does a thread that wakes up push away one that runs: that one holds the interpreter, or is Redis about to answer.
with suppress(AttributeError, OSError):  # Linux only, and a container may forbid it
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
config.logging.configure()
stop_gently()
app = create_app(Environment.of_process())
gc.collect()
gc.freeze()  # what lives as long as the process is looked through no more: a full collection held up every request
