"""Erasure: removes what the ledger holds of entities and receipts, and recognises what comes again.

The receipts stay as tombstones, so that every entry is still accounted for and a delivery of the same receipt is not
taken for another one. Hashes of what was erased stay too: see `repeats` and `returning`.
"""

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg.sql import SQL, Identifier

from app.domain.delivery import ReceivedDelivery
from app.domain.event import Entity, Event
from app.domain.outcome import ERASED, Outcome, ProcessedDelivery
from app.errors import InvalidDeliveryError
from app.storage import feed, receipts
from app.storage.connection import Connection, columns
from app.storage.overflow import EPOCH, to_received

# A body may have 25 MiB.
_BODIES_AT_ONCE = 8
# Where a sealed body is kept that is no event, and the query of those.
SEALED = {
    "dead letter": """
        SELECT receipt, provider, topic, headers, ciphertext, received_at, epoch, seq, 1 AS delivery_count,
               '' AS traceparent
        FROM receipts JOIN bodies USING (receipt)
        WHERE provider = %(provider)s AND outcome IN ('dead', 'discarded')
    """,
    "overflow": """
        SELECT receipt, provider, topic, headers, ciphertext, received_at, %(epoch)s AS epoch, seq, delivery_count,
               traceparent
        FROM overflow WHERE provider = %(provider)s AND ciphertext IS NOT NULL
    """,
    "rejected request": """
        SELECT receipt, provider, '' AS topic, '{}'::jsonb AS headers, request AS ciphertext, received_at,
               %(epoch)s AS epoch, 0 AS seq, 1 AS delivery_count, '' AS traceparent
        FROM rejected_requests WHERE provider = %(provider)s AND request IS NOT NULL
    """,
}


@dataclass(frozen=True, slots=True)
class Held:
    """What one provider's ledger, overflow and inbox hold of a person or an entity.

    receipts: receipts in the ledger, events and dead letters. waiting: entries of inbox and overflow, without bodies;
    the ledger may have stored some of them since they were read. digests: of the contents that wait.
    rejected: rejected requests, which have no receipt in the ledger.
    """

    provider: str
    entities: frozenset[Entity]
    receipts: frozenset[UUID]
    waiting: tuple[ReceivedDelivery, ...] = ()
    digests: frozenset[bytes] = frozenset()
    rejected: frozenset[UUID] = frozenset()


def entities_of_persons(connection: Connection, provider: str, persons: Collection[str]) -> set[Entity]:
    """Return the entities that a person appears in; `persons` are pseudonyms."""
    query = """
        SELECT DISTINCT provider, event_type, entity_id FROM events
        WHERE provider = %s AND persons && %s::uuid[] AND entity_id IS NOT NULL
    """
    return {Entity(*row) for row in connection.execute(query, [provider, list(persons)])}


def entities_with_ids(connection: Connection, provider: str, ids: Collection[str]) -> set[Entity]:
    """Return the entities with these ids, of whatever event type: an id of a provider names one thing."""
    query = "SELECT DISTINCT provider, event_type, entity_id FROM events WHERE provider = %s AND entity_id = ANY(%s)"
    return {Entity(*row) for row in connection.execute(query, [provider, list(ids)])}


def receipts_of(connection: Connection, entities: Collection[Entity]) -> frozenset[UUID]:
    """Return the receipts of all events of the entities."""
    return _receipts_in("events", connection, entities)


def receipts_naming(connection: Connection, entities: Collection[Entity]) -> frozenset[UUID]:
    """Return the receipts that name the entities, by a search of all: retention may have removed the events of some."""
    return _receipts_in("receipts", connection, entities)


def _receipts_in(table: str, connection: Connection, entities: Collection[Entity]) -> frozenset[UUID]:
    if not entities:
        return frozenset()
    query = SQL("""
        SELECT receipt FROM {}
        JOIN unnest(%s::text[], %s::text[], %s::text[]) AS wanted (provider, event_type, entity_id)
        USING (provider, event_type, entity_id)
    """)
    return frozenset(row.receipt for row in connection.execute(query.format(Identifier(table)), columns(entities)))


def sealed(connection: Connection, place: str, provider: str, read: Collection[UUID]) -> Iterator[ReceivedDelivery]:
    """Yield the deliveries of one of SEALED, without those read before."""
    parameters = {"provider": provider, "epoch": EPOCH, "read": list(read)}
    query = SQL("SELECT receipt FROM ({}) AS every WHERE receipt <> ALL(%(read)s)").format(SQL(SEALED[place]))
    wanted = [row.receipt for row in connection.execute(query, parameters)]
    query = SQL("SELECT * FROM ({}) AS every WHERE receipt = ANY(%(wanted)s)").format(SQL(SEALED[place]))
    for start in range(0, len(wanted), _BODIES_AT_ONCE):
        batch = connection.execute(query, parameters | {"wanted": wanted[start : start + _BODIES_AT_ONCE]})
        yield from map(to_received, batch.fetchall())


def rows_of(connection: Connection, held: Held, tables: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every table that has receipts, and of the projections `tables`, without sealed bodies."""
    query = """
        SELECT relname::text AS name FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'kvitto'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
          AND attname = 'receipt' AND has_table_privilege(pg_class.oid, 'SELECT')
        ORDER BY relname
    """
    by_receipt = [row.name for row in connection.execute(query)]
    erased = [*held.receipts, *held.rejected, *(received.delivery.receipt for received in held.waiting)]
    ids = [entity.entity_id for entity in held.entities]
    conditions = dict.fromkeys(by_receipt, ("receipt", erased)) | dict.fromkeys(tables, ("entity_id", ids))
    found: dict[str, list[dict[str, Any]]] = {}
    for table, (column, wanted) in conditions.items():
        query_rows = SQL(
            "SELECT to_jsonb(held) - '{{ciphertext,request}}'::text[] AS held FROM {} AS held WHERE {} = ANY(%s)"
        )
        rows = connection.execute(query_rows.format(Identifier(table), Identifier(column)), [wanted]).fetchall()
        found |= {f"kvitto.{table}": [row.held for row in rows]} if rows else {}
    return found


def erase(connection: Connection, held: Held, tables: Collection[str], persons: Collection[str]) -> None:
    """Erase what is held, in the provider's turn.

    `tables` are the projections of the entities; `persons` are the pseudonyms of the person who is erased.
    """
    _keep_tombstones(connection, held.waiting)
    erased = [[*held.receipts, *(received.delivery.receipt for received in held.waiting)]]
    _remember(connection, held, erased, persons)
    for table in tables:
        delete = SQL("DELETE FROM {} WHERE entity_id = ANY(%s)").format(Identifier(table))
        connection.execute(delete, [[entity.entity_id for entity in held.entities]])
    connection.execute("DELETE FROM bodies WHERE receipt = ANY(%s)", erased)
    query = """
        UPDATE events SET entity_id = NULL, revision = NULL, provider_event_id = NULL, content = NULL, digests = '{}',
               body_digest = NULL, pseudonyms = '{}', persons = NULL, field_flags = '{}', flags = '{}', retry_of = NULL
        WHERE receipt = ANY(%s)
    """
    connection.execute(query, erased)
    query = """
        UPDATE receipts SET entity_id = NULL, erased_at = coalesce(erased_at, clock_timestamp()),
               outcome = CASE outcome WHEN 'dead' THEN 'discarded' ELSE outcome END
        WHERE receipt = ANY(%s)
    """
    connection.execute(query, erased)
    query = """
        UPDATE dead_letters SET discarded_at = clock_timestamp()
        WHERE receipt = ANY(%s) AND replayed_at IS NULL AND discarded_at IS NULL
    """
    connection.execute(query, erased)
    connection.execute("DELETE FROM rejected_requests WHERE receipt = ANY(%s)", [list(held.rejected)])
    feed.assign_positions(connection, held.provider, erased[0])
    connection.execute("UPDATE overflow SET headers = '{}', ciphertext = NULL WHERE receipt = ANY(%s)", erased)


def _keep_tombstones(connection: Connection, waiting: Sequence[ReceivedDelivery]) -> None:
    """Give deliveries that wait a receipt without a body: workers then find that the ledger has them."""
    entries = [ProcessedDelivery(received, InvalidDeliveryError(ERASED)) for received in waiting]
    fresh, earlier, further = receipts.partition(connection, entries)
    receipts.reassign(connection, earlier)
    receipts.insert(connection, fresh, {entry.receipt: Outcome("discarded", ERASED) for entry in fresh})
    receipts.record_duplicate_entries(connection, further)


def _remember(connection: Connection, held: Held, erased: list[list[UUID]], persons: Collection[str]) -> None:
    query = """
        SELECT provider, event_type, entity_id, provider_event_id, digests FROM events
        WHERE receipt = ANY(%s) AND entity_id IS NOT NULL
    """
    digests = {digest_of_content(Entity(*row[:3]), *row[3:]) for row in connection.execute(query, erased)}
    digests |= held.digests | {*map(_digest_of, held.entities), *map(_digest_of, persons)}
    query = "INSERT INTO erased_digests (digest) SELECT unnest(%b::bytea[]) ON CONFLICT DO NOTHING"
    connection.execute(query, [sorted(digests)])


def repeats(connection: Connection, deliveries: Iterable[ProcessedDelivery]) -> set[UUID]:
    """Return the receipts of valid deliveries that repeat erased content.

    A provider that missed an answer sends the same content again, which must not bring back what was erased.
    """
    contents = {delivery.receipt: digest_of_event(delivery.event) for delivery in _valid(deliveries)}
    known = _known(connection, contents.values())
    return {receipt for receipt, digest in contents.items() if digest in known}


def returning(connection: Connection, deliveries: Iterable[ProcessedDelivery]) -> set[UUID]:
    """Return the receipts of valid deliveries about an entity or a person that was erased before."""
    subjects = {
        delivery.receipt: {_digest_of(delivery.event.entity), *map(_digest_of, delivery.event.persons)}
        for delivery in _valid(deliveries)
    }
    known = _known(connection, itertools.chain(*subjects.values()))
    return {receipt for receipt, digests in subjects.items() if digests & known}


def _valid(deliveries: Iterable[ProcessedDelivery]) -> Iterator[ProcessedDelivery]:
    return (delivery for delivery in deliveries if isinstance(delivery.result, Event))


def _known(connection: Connection, digests: Iterable[bytes]) -> set[bytes]:
    asked = list(digests)
    query = "SELECT digest FROM erased_digests WHERE digest = ANY(%b::bytea[])"
    return {row.digest for row in connection.execute(query, [asked])} if asked else set()


def digest_of_event(event: Event) -> bytes:
    """Return the digest of an event's content."""
    return digest_of_content(event.entity, event.provider_event_id, event.digests)


def digest_of_content(entity: Entity, provider_event_id: str | None, digests: Mapping[str, str]) -> bytes:
    """Return the digest of a content: it is made of the keyed digests of its values."""
    return sha256(json.dumps([entity, provider_event_id, sorted(digests.items())]).encode()).digest()


def _digest_of(subject: Entity | str) -> bytes:
    return sha256(json.dumps(subject).encode()).digest()
