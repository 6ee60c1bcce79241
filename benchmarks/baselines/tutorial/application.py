"""The tutorial's edge: checks the token, sends the body as a Celery message, answers 200."""

import hmac
import os
import time

from flask import Flask, abort, request

from benchmarks.baselines.tutorial.tasks import store

app = Flask(__name__)
_EXPECTED = f"token {os.environ['TUTORIAL_TOKEN']}"


@app.post("/webhooks/applications")
def receive() -> dict[str, bool]:
    """Take a delivery."""
    if not hmac.compare_digest(request.headers.get("Authorization", ""), _EXPECTED):
        abort(401)
    store.delay(request.get_data(as_text=True), time.time())
    return {"accepted": True}
