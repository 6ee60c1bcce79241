"""An empty Flask view, for the same server under the same settings as the edge."""

from flask import Flask

from app.ingest.runtime import freeze_startup_objects, tune_thread_switching

tune_thread_switching()
app = Flask(__name__, static_folder=None)


@app.post("/")
def answer() -> str:
    """Answer 200, and do nothing else."""
    return ""


freeze_startup_objects()
