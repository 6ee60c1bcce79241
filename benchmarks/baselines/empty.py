"""An empty Flask view, for the same server under the same settings as the edge."""

from flask import Flask

from app.ingest.runtime import freeze, take_turns

take_turns()
app = Flask(__name__, static_folder=None)


@app.post("/")
def answer() -> str:
    """Answer 200, and do nothing else."""
    return ""


freeze()
