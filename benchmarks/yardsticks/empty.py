"""An empty Flask view, for the same server under the same settings as the edge."""

import sys

from flask import Flask

sys.setswitchinterval(0.0005)  # as the edge
app = Flask(__name__, static_folder=None)


@app.post("/")
def answer() -> str:
    """Answer 200, and do nothing else."""
    return ""
