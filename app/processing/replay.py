"""Replay of dead letters: process them again after the cause was fixed."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from uuid import UUID

from app.crypto.sealing import SealingKeys
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
    """Replays dead letters one at a time, each in its own transaction: it can be interrupted and repeated."""

    def __init__(self, environment: Environment) -> None:
        self._settings = WorkerSettings.read(environment)
        self._providers = {name: registry.load(name, environment) for name in self._settings.providers}
        environment.check()
        self._seals = SealingKeys(self._settings.sealing_keys)
        self._pipelines: dict[str, tuple[DeliveryProcessor, Ledger]] = {}

    @cached_property
    def connection(self) -> Connection:
        """The connection that reads dead letters."""
        return connect(self._settings.database_url, "replay")

    def run(self, letters: Iterable[UUID], dry_run: bool) -> Iterator[tuple[UUID, Outcome | None]]:
        """Yield each receipt with its new outcome, None if it is no longer a dead letter."""
        for receipt in letters:
            for received in receipts.load(self.connection, [receipt]):
                processor, ledger = self._pipeline(received.delivery.provider)
                try:
                    yield receipt, ledger.replay([processor.process(received)], dry_run).get(receipt)
                except DataRejectedError as error:
                    yield receipt, Outcome("dead", REJECTED_BY_DATABASE, str(error))

    def _pipeline(self, name: str) -> tuple[DeliveryProcessor, Ledger]:
        if name not in self._pipelines:
            provider = self._providers.get(name)
            if provider is None:
                raise ConfigurationError([fault("PROVIDERS", f"lacks {name}", "Add it to replay its dead letters")])
            ledger = Ledger(self._settings.database_url, name, "postgres" in self._settings.allow_non_durable)
            self._pipelines[name] = DeliveryProcessor(self._seals, provider), ledger
        return self._pipelines[name]
