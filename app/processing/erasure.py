"""Erases all that one provider holds of a person or an entity, while deliveries come in."""

from collections.abc import Collection
from dataclasses import replace

from app.processing.holdings import Holdings
from app.storage import access_log, erasure
from app.storage.access_log import Access
from app.storage.connection import Connection
from app.storage.erasure import Held
from app.storage.overflow import EPOCH as OVERFLOW_EPOCH


def erase(holdings: Holdings, connection: Connection, access: Access) -> Held:
    """Erase everything, or nothing; return what was held.

    Most bodies are read before the provider's turn, which holds up its workers, and which ends after some seconds. What
    came since is read in it. Workers that hold an entry of the inbox store nothing of it: they find its receipt in the
    ledger.
    """
    holdings.catch_up(connection)
    with holdings.ledger.turn() as turn:
        held = holdings.find(turn)
        erasure.erase(turn, held, _tables(holdings, held), holdings.subject.persons)
        access_log.record(turn, replace(access, provider=holdings.name))
    if entries := [received for received in held.waiting if received.epoch != OVERFLOW_EPOCH]:
        holdings.inbox.acknowledge(entries)
    return held


def _tables(holdings: Holdings, held: Held) -> Collection[str]:
    projections = (holdings.provider.projection(entity.event_type) for entity in held.entities)
    return {projection.name for projection in projections if projection}
