"""Replays dead letters: settles them again, now that the cause is mended."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from uuid import UUID

from app.crypto.sealing import SealingKeys
from app.domain.delivery import ReceivedDelivery
from app.domain.outcome import Outcome
from app.errors import REJECTED_BY_DATABASE, DataRejectedError
from app.processing.processor import DeliveryProcessor
from app.providers import registry
from app.storage import receipts
from app.storage.connection import Connection, connect
from app.storage.ledger import Ledger
from config.checks.result import fault
from config.environment import ConfigurationError, Environment
from config.settings import WorkerSettings


class Replay:
    """Settles dead letters one at a time: it can be interrupted and begun again at any point."""

    def __init__(self, environment: Environment) -> None:
        self._settings = WorkerSettings.read(environment)
        self._settlers: dict[str, tuple[DeliveryProcessor, Ledger]] = {}
        self._openers = {name: registry.load(name, environment) for name in self._settings.providers}
        environment.check()
        self._seals = SealingKeys(self._settings.sealing_keys)

    @cached_property
    def connection(self) -> Connection:
        """The connection that dead letters are read with."""
        return connect(self._settings.database_url, "replay")

    def run(self, letters: Iterable[UUID], dry_run: bool) -> Iterator[tuple[UUID, Outcome | None]]:
        """Yield each receipt with its new outcome; None where it is no dead letter any more."""
        for receipt in letters:
            for received in receipts.load(self.connection, [receipt]):
                yield receipt, self._settle(received, dry_run)

    def _settle(self, received: ReceivedDelivery, dry_run: bool) -> Outcome | None:
        settler, ledger = self._tools(received.delivery.provider)
        settlement = settler.process(received)
        try:
            return ledger.replay([settlement], dry_run).get(settlement.receipt)
        except DataRejectedError as error:
            return Outcome("dead", REJECTED_BY_DATABASE, str(error))

    def _tools(self, name: str) -> tuple[DeliveryProcessor, Ledger]:
        if name not in self._settlers:
            opener = self._openers.get(name)
            if opener is None:
                raise ConfigurationError([fault("PROVIDERS", f"lacks {name}", "Add it to replay its dead letters")])
            ledger = Ledger(self._settings.database_url, name, "postgres" in self._settings.allow_non_durable)
            self._settlers[name] = DeliveryProcessor(self._seals, opener), ledger
        return self._settlers[name]
