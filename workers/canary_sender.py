"""Sends a canary along each provider's path every few seconds."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import httpx

from app.canary import message as canary
from app.canary.heartbeat import Heartbeat
from app.canary.message import Canary
from app.tls import trusting

_INTERVAL_SECONDS = 5.0
_TIMEOUT_SECONDS = 5.0
logger = logging.getLogger(__name__)


class CanarySender(threading.Thread):
    """Posts canaries to the edge as a provider would. Logs when the answer changes from 200, and back."""

    def __init__(
        self, ingest_url: str, secret: str, providers: Sequence[str], heartbeat: Heartbeat, authority: str = ""
    ) -> None:
        super().__init__(name="canary-sender", daemon=True)
        # Ingest is our own server: it is reached directly, whatever proxy the environment names.
        self._client = httpx.Client(
            base_url=ingest_url, timeout=_TIMEOUT_SECONDS, verify=trusting(authority), trust_env=False
        )
        self._secret = secret
        self._heartbeat = heartbeat
        self._statuses = dict.fromkeys(providers, "200")

    def run(self) -> None:
        """Send until the process ends."""
        while True:
            for provider, last_status in self._statuses.items():
                self._heartbeat.beat()
                status = self._send(provider)
                if status != last_status:
                    logger.warning("canary_status_changed", extra={"provider": provider, "status": status})
                    self._statuses[provider] = status
            time.sleep(_INTERVAL_SECONDS)

    def _send(self, provider: str) -> str:
        """Send one canary; return the status of the answer, or the name of the error."""
        body = Canary(provider, datetime.now(UTC)).to_body()
        headers = {canary.SIGNATURE: canary.sign(self._secret, body), "Content-Type": "application/json"}
        try:
            answer = self._client.post(f"/webhooks/{canary.PROVIDER}/{provider}", content=body, headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__
        return str(answer.status_code)
