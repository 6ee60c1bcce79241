"""Turns a late retry into a revision: an operator found that the entity changed back."""

from uuid import UUID

from app.crypto.sealing import SealingKeys
from app.domain.event import Event
from app.processing.processor import DeliveryProcessor
from app.providers import registry
from app.storage import receipts
from app.storage.connection import connect
from app.storage.ledger import Ledger
from config.checks.result import fault
from config.environment import ConfigurationError, Environment
from config.settings import WorkerSettings


def accept(environment: Environment, receipt: UUID, reason: str, operator: str) -> Event:
    """Accept a late retry, and decide its entity again; return its event.

    Raises:
        LookupError: The ledger has no such receipt, it is no late retry by its time, or it was decided before.
    """
    settings = WorkerSettings.read(environment)
    providers = {name: registry.load(name, environment) for name in settings.providers}
    environment.check()
    with connect(settings.database_url, "accept") as connection:
        loaded = receipts.load(connection, [receipt])
        if not loaded:
            raise LookupError(receipts.why_without_body(connection, receipt))
    name = loaded[0].delivery.provider
    provider = providers.get(name)
    if provider is None:
        raise ConfigurationError([fault("PROVIDERS", f"lacks {name}", "Add it to accept its deliveries")])
    processed = DeliveryProcessor(SealingKeys(settings.sealing_keys), provider).process(loaded[0])
    match processed.result:
        case Event() as event:
            ledger = Ledger(settings.database_url, name, settings.durability_exceptions)
            ledger.accept(processed, reason, operator)
            ledger.close()
            return event
        case error:
            raise LookupError(f"{receipt} cannot be opened now: {error}")
