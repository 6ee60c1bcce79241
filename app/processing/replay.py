"""Replay of dead letters: process them again after the cause was fixed."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from app.crypto.sealing import SealingKeys
from app.domain.delivery import ReceivedDelivery
from app.domain.outcome import Outcome
from app.errors import REJECTED_BY_DATABASE, DataRejectedError
from app.processing.processor import DeliveryProcessor
from app.providers import registry
from app.storage import receipts
from app.storage.access_log import Access
from app.storage.connection import connect
from app.storage.ledger import Ledger
from config.checks.result import fault
from config.environment import ConfigurationError, Environment
from config.settings import WorkerSettings


def replay(
    environment: Environment, letters: Iterable[UUID], access: Access | None
) -> Iterator[tuple[UUID, Outcome | None]]:
    """Replay dead letters one at a time, each in its own transaction: it can be interrupted and repeated.

    `access` is logged for each. Without it nothing is changed: a dry run.

    Yield each receipt with its new outcome, None if it is no longer a dead letter.
    """
    settings = WorkerSettings.read(environment)
    providers = {name: registry.load(name, environment) for name in settings.providers}
    environment.check()
    seals = SealingKeys(settings.sealing_keys)
    ledgers = {name: Ledger(settings.database_url, name, settings.durability_exceptions) for name in providers}
    with connect(settings.database_url, "replay") as connection:
        for receipt in letters:
            for received in receipts.load(connection, [receipt]):
                name = received.delivery.provider
                provider = providers.get(name)
                if provider is None:
                    raise ConfigurationError([fault("PROVIDERS", f"lacks {name}", "Add it to replay its dead letters")])
                processor = DeliveryProcessor(seals, provider)
                yield receipt, replay_one(ledgers[name], processor, received, access)


def replay_one(
    ledger: Ledger, processor: DeliveryProcessor, received: ReceivedDelivery, access: Access | None
) -> Outcome | None:
    """Replay one dead letter, without `access` as a dry run; return its outcome, None if it is no dead letter now."""
    try:
        return ledger.replay([processor.process(received)], access is None, access).get(received.delivery.receipt)
    except DataRejectedError as error:
        return Outcome("dead", REJECTED_BY_DATABASE, str(error))
