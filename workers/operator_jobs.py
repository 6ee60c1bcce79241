"""Does what operators ask for in the console: replays, dry runs and discards of dead letters, and opens bodies.

Progress is in the ledger, a row per letter: a restart goes on where the last worker stopped.
"""

import json
import logging
import time

from app.crypto import handover
from app.crypto.sealing import SealingKeys
from app.domain.outcome import Outcome
from app.errors import InvalidDeliveryError, StoreUnavailableError
from app.processing.processor import DeliveryProcessor
from app.processing.replay import replay_one
from app.providers.base import Provider
from app.storage import access_log, dead_letters, operator_jobs, receipts
from app.storage.access_log import Access
from app.storage.connection import Connection
from app.storage.dead_letters import Selection
from app.storage.ledger import Ledger
from app.storage.operator_jobs import Item, RevealRequest
from config.celery import DRAIN_LIMIT_SECONDS

logger = logging.getLogger(__name__)


class OperatorJobs:
    """What waits for a worker of one provider."""

    def __init__(self, ledger: Ledger, seals: SealingKeys, provider: Provider) -> None:
        self._ledger = ledger
        self.use(seals, provider)
        # A claimed letter whose end is not recorded yet, and what became of it; None if that was nothing.
        self._unfinished: tuple[Item, tuple[str, Outcome] | None] | None = None

    def use(self, seals: SealingKeys, provider: Provider) -> None:
        """Open bodies with other keys from now on."""
        self._seals = seals
        self._provider = provider
        self._processor = DeliveryProcessor(seals, provider)

    def work(self) -> None:
        """Work for DRAIN_LIMIT_SECONDS at most; bodies come first, since a person waits for each.

        Raises:
            StoreUnavailableError: Postgres failed. Unless it answers again at once, a later call takes the letter up.
        """
        until = time.monotonic() + DRAIN_LIMIT_SECONDS
        self._finish()
        while time.monotonic() < until:
            with self._ledger.connected() as connection:
                for request in operator_jobs.reveal_requests(connection, self._ledger.provider):
                    self._reveal(connection, request)
                item = operator_jobs.claim(connection, self._ledger.provider)
            if item is None:
                return
            try:
                self._unfinished = item, self._done(item)
            except StoreUnavailableError:
                self._unfinished = item, None
                self._ledger.check()  # raises if the server fails without the letter, too
                self._unfinished = None  # the attempt counts: Postgres may fail on this letter each time
                raise
            self._finish()

    def _finish(self) -> None:
        """Record what became of the last letter, or that it was not begun. If Postgres fails, the next call does."""
        if self._unfinished is None:
            return
        (item, done), self._unfinished = self._unfinished, None
        try:
            with self._ledger.connected() as connection:
                if done is None:
                    operator_jobs.give_back(connection, item)
                else:
                    operator_jobs.finish(connection, item, *done)
        except StoreUnavailableError:
            self._unfinished = item, done
            raise

    def _done(self, item: Item) -> tuple[str, Outcome]:
        """Do what is asked with one letter; return what became of it, in a word, and its outcome."""
        if item.kind == "discard":
            with self._ledger.connected() as connection:
                found = dead_letters.discard(connection, Selection(item.receipt), item.operator, item.why or "")
            return ("discarded", Outcome("discarded")) if found else ("skipped", Outcome("dead", None, _SKIPPED))
        access = None if item.kind == "dry-run" else Access("replay", item.operator, item.why)
        with self._ledger.connected() as connection:
            received = receipts.load(connection, [item.receipt])
            without_body = "" if received else receipts.why_without_body(connection, item.receipt)
        if without_body:
            return "failed", Outcome("dead", None, without_body)
        outcome = replay_one(self._ledger, self._processor, received[0], access)
        return (outcome.name, outcome) if outcome else ("skipped", Outcome("dead", None, _SKIPPED))

    def _reveal(self, connection: Connection, request: RevealRequest) -> None:
        """Answer a request with the opened content, or with why there is none. The access log has it before."""
        found = receipts.load(connection, [request.receipt])
        if not found:
            text = {"problem": receipts.why_without_body(connection, request.receipt)}
        else:
            delivery = found[0].delivery
            access = Access("reveal", request.operator, request.why, delivery.provider, request.receipt)
            access_log.record(connection, access)
            try:
                body = self._seals.unseal(request.receipt, delivery.sealed)
                content = self._provider.open(delivery.topic, delivery.headers, body).content
                text = {"content": json.dumps(content, indent=2, ensure_ascii=False, default=str)}
            except InvalidDeliveryError as error:
                text = {"problem": str(error)}
        sealed = handover.seal(json.dumps(text).encode(), request.public_key, request.request.bytes)
        operator_jobs.answer(connection, request.request, sealed)


_SKIPPED = "it was no dead letter any more"
