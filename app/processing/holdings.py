"""Finds all that is held of a person or an entity: events, dead letters, rejected requests, and what waits.

Events are found by pseudonym, whatever role the person has in them. A sealed body that is no event is opened and
searched. All that a provider says about one id belongs together: a decision about an application of the person may
name nobody.
"""

import zlib
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.domain.delivery import ReceivedDelivery, StreamId
from app.domain.event import Entity, Event
from app.domain.national_ids import person_numbers
from app.domain.traces import Traces
from app.errors import NOT_JSON, WRONG_KEY, InvalidDeliveryError
from app.inbox import client
from app.inbox.stream import Inbox
from app.processing.processor import DeliveryProcessor
from app.processing.saved_request import SavedRequest
from app.providers import registry
from app.providers.base import Provider
from app.storage import erasure
from app.storage.connection import Connection
from app.storage.erasure import Held
from app.storage.ledger import Ledger
from config.checks.result import fault
from config.environment import ConfigurationError, Environment
from config.settings import WorkerSettings

# Where deliveries are before the ledger has them.
_WAITING = ("overflow", "inbox")
# So many bodies are opened and validated within a tenth of a second.
_FEW = 100
_GZIP = b"\x1f\x8b"
_MAX_UNPACKED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose data is meant: a person, by national id and pseudonym, an entity, or one sealed body by its receipt.

    `name` is what the access log calls it: the pseudonym, provider/type/id, or the receipt id.
    """

    name: str
    numbers: frozenset[str] = frozenset()
    persons: frozenset[str] = frozenset()
    entity: Entity | None = None
    receipt: UUID | None = None

    @classmethod
    def of_person(cls, national_id: str, fingerprints: Fingerprints) -> "Subject":
        """Return a person by a national id in any spelling."""
        numbers = person_numbers(national_id.strip(), is_national_id=True)
        persons = frozenset(filter(None, map(fingerprints.pseudonym, numbers)))
        return cls(", ".join(sorted(persons)), frozenset(numbers), persons)

    @classmethod
    def of_entity(cls, entity: Entity) -> "Subject":
        """Return an entity."""
        return cls("/".join(entity), entity=entity)

    @classmethod
    def of_receipt(cls, receipt: UUID) -> "Subject":
        """Return a dead letter, a rejected request or a delivery that waits, whether or not a key opens it."""
        return cls(str(receipt), receipt=receipt)

    @property
    def pseudonyms(self) -> frozenset[str]:
        """The pseudonyms of a person, as texts and as uuids."""
        return self.persons | {str(UUID(person)) for person in self.persons}


@dataclass(frozen=True, slots=True)
class SealedBody:
    """A sealed body that was searched, without the body itself.

    place: a key of erasure.SEALED, or `inbox`. entity and digest: of its event, if it waits and is valid.
    problem: why it could not be searched, None if it was.
    """

    place: str
    received: ReceivedDelivery
    shows_subject: bool = False
    entity: Entity | None = None
    digest: bytes | None = None
    problem: str | None = None


class Holdings:
    """What one provider holds of a subject. Asked again, it reads only the bodies that it has not read yet."""

    def __init__(self, provider: Provider, seals: SealingKeys, inbox: Inbox, ledger: Ledger, subject: Subject) -> None:
        self.provider = provider
        self.inbox = inbox
        self.ledger = ledger
        self.subject = subject
        self._seals = seals
        self._processor = DeliveryProcessor(seals, provider)
        self.forget()

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.inbox.provider

    @property
    def traces(self) -> Traces:
        """What shows the subject in a text, as far as it was found."""
        return self._traces

    @property
    def unsearched(self) -> list[SealedBody]:
        """The sealed bodies that could not be searched, and why."""
        return [body for body in self._read if body.problem]

    def forget(self) -> None:
        """Have the next call of `find` read all bodies again."""
        ids = frozenset([self.subject.entity.entity_id] if self.subject.entity else [])
        self._traces = Traces(self.subject.numbers, ids)
        self._read: list[SealedBody] = []
        self._inbox_read_to = StreamId(0, 0)
        self._aged: tuple[frozenset[Entity], frozenset[UUID]] = frozenset(), frozenset()

    def catch_up(self, connection: Connection) -> None:
        """Read sealed bodies until few came meanwhile, so that the next call of `find` takes a moment."""
        known = -_FEW
        while len(self._read) >= known + _FEW:
            known = len(self._read)
            self.find(connection)

    def find(self, connection: Connection) -> Held:
        """Return what is held now. Ids of entities that turn up are searched for, too."""
        while True:
            self._read_sealed(connection)
            entities = self._entities(connection)
            ids = frozenset(entity.entity_id for entity in entities) | self._traces.ids
            if ids == self._traces.ids:
                break
            self._read, self._inbox_read_to = [], StreamId(0, 0)
            self._traces = Traces(self.subject.numbers, ids)
        waiting = [body for body in self._read if body.place in _WAITING and _is_of(body, entities)]
        return Held(
            provider=self.name,
            entities=frozenset(entities),
            receipts=(
                erasure.receipts_of(connection, entities)
                | self._receipts_naming(connection, frozenset(entities))
                | self._shown_in("dead letter")
            ),
            rejected=self._shown_in("rejected request"),
            waiting=tuple(body.received for body in waiting),
            digests=frozenset(body.digest for body in waiting if body.digest),
        )

    def plaintexts(self, place: str, received: ReceivedDelivery) -> list[bytes]:
        """Return the texts that a sealed body may hold; raise InvalidDeliveryError if it cannot be opened."""
        delivery = received.delivery
        body = self._seals.unseal(delivery.receipt, delivery.sealed)
        if place == "rejected request":
            body = _body_of(body)
        if found := [_unpacked(text) for text in self.provider.plaintexts(body)]:
            return found
        raise InvalidDeliveryError(WRONG_KEY, "no key opens it")

    def _shown_in(self, place: str) -> frozenset[UUID]:
        found = (body for body in self._read if body.place == place and body.shows_subject)
        return frozenset(body.received.delivery.receipt for body in found)

    def _receipts_naming(self, connection: Connection, entities: frozenset[Entity]) -> frozenset[UUID]:
        """Return the receipts that name the entities. All are searched, so not again in the provider's turn."""
        if not entities <= self._aged[0]:
            self._aged = entities, erasure.receipts_naming(connection, entities)
        return self._aged[1]

    def _entities(self, connection: Connection) -> set[Entity]:
        if self.subject.entity is not None:
            return {self.subject.entity}
        waiting = [(body.entity, body.shows_subject) for body in self._read if body.entity]
        entities = erasure.entities_of_persons(connection, self.name, self.subject.persons)
        entities |= {entity for entity, shows_subject in waiting if shows_subject}
        ids = {entity.entity_id for entity in entities}
        entities |= {entity for entity, _ in waiting if entity.entity_id in ids}
        return entities | erasure.entities_with_ids(connection, self.name, ids)

    def _read_sealed(self, connection: Connection) -> None:
        """Read dead letters and rejected requests, and what waits in overflow and inbox; each once."""
        for place in erasure.SEALED:
            read = {body.received.delivery.receipt for body in self._read if body.place == place}
            for received in erasure.sealed(connection, place, self.name, read):
                self._read.append(self._searched(place, received))
        for received in self.inbox.read(self._inbox_read_to):
            self._read.append(self._searched("inbox", received))
            self._inbox_read_to = received.stream_id

    def _searched(self, place: str, received: ReceivedDelivery) -> SealedBody:
        delivery = received.delivery
        is_meant = delivery.receipt == self.subject.receipt
        body = SealedBody(place, replace(received, delivery=replace(delivery, sealed=b"", headers={})), is_meant)
        try:
            texts = self.plaintexts(place, received)
        except InvalidDeliveryError as error:
            return replace(body, problem=str(error))
        # A dead letter may crash the process that validates it: it is searched as a text alone.
        event = self._event_of(received) if place in _WAITING else None
        if event is not None:  # an id of another entity within it does not make it an event of that entity
            shows_person = Traces(self.subject.numbers).are_in(texts)
            digest = erasure.digest_of_event(event)
            return replace(body, entity=event.entity, digest=digest, shows_subject=is_meant or shows_person)
        kept = [value.encode() for value in delivery.headers.values()]
        return replace(body, shows_subject=is_meant or self._traces.are_in([*texts, *kept]))

    def _event_of(self, received: ReceivedDelivery) -> Event | None:
        try:
            result = self._processor.process(received).result
        except Exception:  # a bug in one delivery must not keep the others from being searched
            return None
        return result if isinstance(result, Event) else None


@contextmanager
def open_holdings(environment: Environment, meant: str | Entity | UUID) -> Iterator[tuple[Subject, list[Holdings]]]:
    """Open ledger and inbox of each provider, or of an entity's own, to find what is held.

    `meant` is a person's national id, an entity, or the receipt of a sealed body.

    Raises:
        ConfigurationError: A setting is missing, or PROVIDERS lacks the provider.
    """
    settings = WorkerSettings.read(environment)
    providers = {name: registry.load(name, environment) for name in settings.providers}
    environment.check()
    entity = meant if isinstance(meant, Entity) else None
    if entity is not None and entity.provider not in providers:
        raise ConfigurationError([fault("PROVIDERS", f"lacks {entity.provider}", "Add it, or correct the entity")])
    fingerprints, seals = Fingerprints(settings.fingerprint_key), SealingKeys(settings.sealing_keys)
    match meant:
        case UUID():
            subject = Subject.of_receipt(meant)
        case Entity():
            subject = Subject.of_entity(meant)
        case _:
            subject = Subject.of_person(meant, fingerprints)
    with closing(client.connect(settings.redis, timeout_seconds=10)) as redis:
        found = [
            Holdings(provider, seals, Inbox(redis, name), Ledger(settings.database_url, name, exceptions), subject)
            for exceptions in [settings.durability_exceptions]
            for name, provider in providers.items()
            if provider is not None and (entity is None or entity.provider == name)
        ]
        try:
            yield subject, found
        finally:
            for holdings in found:
                holdings.ledger.close()


def _is_of(body: SealedBody, entities: Collection[Entity]) -> bool:
    """Return whether what waits is about the subject: an event by its entity, anything else by what it shows."""
    return body.entity in entities if body.entity else body.shows_subject


def _body_of(request: bytes) -> bytes:
    """Return the body of a rejected request; all of a request that cannot be parsed."""
    try:
        return SavedRequest.parse(request).body
    except ValueError:
        return request


def _unpacked(text: bytes) -> bytes:
    """Return a text that its sender compressed as it was before."""
    if not text.startswith(_GZIP):
        return text
    try:
        unpacker = zlib.decompressobj(wbits=31)
        unpacked = unpacker.decompress(text, _MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise InvalidDeliveryError(NOT_JSON, "compressed, and damaged") from error
    if not unpacker.eof:
        raise InvalidDeliveryError(NOT_JSON, "compressed, and cut short or larger than 64 MiB")
    return unpacked
