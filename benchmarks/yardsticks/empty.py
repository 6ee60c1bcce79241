"""An empty Flask view, for the same server under the same settings as the edge."""

import gc
import os
import sys
from contextlib import suppress

from flask import Flask

sys.setswitchinterval(0.0005)
with suppress(AttributeError, OSError):
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
app = Flask(__name__, static_folder=None)


@app.post("/")
def answer() -> str:
    """Answer 200, and do nothing else."""
    return ""


gc.collect()
gc.freeze()
