"""Beat: schedules sweeps and audits, and sends a canary along each provider's path every few seconds."""

import logging
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from celery import beat
from celery.beat import SchedulingError

from app import metrics
from app.domain import canary
from app.domain.canary import Canary, Heartbeat
from app.tls import trusting
from config.secret_files import Rereading
from config.settings import BeatSettings

_MAX_QUEUED = 20
_CANARY_INTERVAL_SECONDS = 5.0
_CANARY_TIMEOUT_SECONDS = 5.0
logger = logging.getLogger(__name__)


class Scheduler(beat.Scheduler):
    """Keeps only a queue's newest tasks, so that a provider without a worker does not fill the broker over days."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a task that is due. A failure is one line of the log: Celery would log pages of places each time."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            cause = error.__context__ or error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            context = {"provider": entry.options["queue"], "task": entry.task, "error": type(cause).__name__}
            logger.warning("task_not_sent", extra=context)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Trim the queue, then send a task that is due."""
        with suppress(Exception):  # an unavailable broker has nothing to trim, and sending logs the error
            channel: Any = self.connection.default_channel
            channel.client.ltrim(entry.options["queue"], 0, _MAX_QUEUED)
        return super().apply_async(entry, producer, advance, **kwargs)


def start_canaries() -> None:
    """Send canaries from a thread of its own, if there is a secret to sign them."""
    secrets = Rereading(BeatSettings.read, report=metrics.report_secret)
    metrics.secret_series(secrets.files)
    settings = secrets.value
    if settings.canary_secret:
        heartbeat = Heartbeat(settings.ingest_url)
        # Ingest is our own server: no proxy that the environment names is used.
        ingest = httpx.Client(
            base_url=settings.ingest_url,
            timeout=_CANARY_TIMEOUT_SECONDS,
            # Without TLS no authorities are loaded, which would take 2 MB.
            verify=urlsplit(settings.ingest_url).scheme != "http" and trusting(settings.authority),
            trust_env=False,
        )
        arguments = secrets, heartbeat, ingest
        threading.Thread(target=_send_canaries, args=arguments, name="canary-sender", daemon=True).start()


def _send_canaries(secrets: Rereading[BeatSettings], heartbeat: Heartbeat, ingest: httpx.Client) -> None:
    """Send canaries as a provider would, until the process ends. Log when the answer changes from 200, and back."""
    statuses = dict.fromkeys(secrets.value.providers, "200")
    while True:
        secret = secrets.current().canary_secret
        for provider, last_status in statuses.items():
            try:
                heartbeat.beat()
            except OSError as error:  # canaries go on; `kvitto health beat` reports how old the last heartbeat is
                logger.error("heartbeat_failed", extra={"reason": error.strerror})  # noqa: TRY400 - the place says nothing
            statuses[provider] = status = _send_canary(ingest, secret, provider)
            metrics.CANARIES_SENT.labels(provider, status).inc()
            if status != last_status:
                logger.warning("canary_status_changed", extra={"provider": provider, "status": status})
        time.sleep(_CANARY_INTERVAL_SECONDS)


def _send_canary(ingest: httpx.Client, secret: str, provider: str) -> str:
    """Send one canary; return the status of the answer, or the name of the error."""
    body = Canary(provider, datetime.now(UTC)).to_body()
    headers = {canary.SIGNATURE: canary.sign(secret, body), "Content-Type": "application/json"}
    try:
        answer = ingest.post(f"/webhooks/{canary.PROVIDER}/{provider}", content=body, headers=headers)
    except httpx.HTTPError as error:
        return type(error).__name__
    return str(answer.status_code)
