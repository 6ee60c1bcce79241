"""Sends canaries: one along each provider's path, every few seconds."""

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

_EVERY_SECONDS = 5.0
_TIMEOUT_SECONDS = 5.0
logger = logging.getLogger(__name__)


class CanarySender(threading.Thread):
    """Posts canaries to the edge as a provider would; tells when they are no longer answered 200, and when again."""

    def __init__(
        self, ingest_url: str, secret: str, providers: Sequence[str], heartbeat: Heartbeat, authority: str = ""
    ) -> None:
        super().__init__(name="canaries", daemon=True)
        # Ingest is ours: it is asked directly, whatever proxy the environment names.
        self._client = httpx.Client(
            base_url=ingest_url, timeout=_TIMEOUT_SECONDS, verify=trusting(authority), trust_env=False
        )
        self._secret = secret
        self._heartbeat = heartbeat
        self._answers = dict.fromkeys(providers, "200")

    def run(self) -> None:
        """Send until the process ends."""
        while True:
            for provider in self._answers:
                self._heartbeat.beat()
                self._tell(provider, self._send(provider))
            time.sleep(_EVERY_SECONDS)

    def _send(self, provider: str) -> str:
        """Send one; return what came of it: the status answered, or what failed."""
        body = Canary(provider, datetime.now(UTC)).to_body()
        headers = {canary.SIGNATURE: canary.sign(self._secret, body), "Content-Type": "application/json"}
        try:
            answer = self._client.post(f"/webhooks/{canary.PROVIDER}/{provider}", content=body, headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__
        return str(answer.status_code)

    def _tell(self, provider: str, answer: str) -> None:
        """Log a change, and nothing while it lasts."""
        if answer != self._answers[provider]:
            logger.warning("canary_status_changed", extra={"provider": provider, "answer": answer})
        self._answers[provider] = answer
