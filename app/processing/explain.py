"""Explain step by step how a delivery is processed: a receipt of the ledger, or a request saved as a file."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from operator import itemgetter
from uuid import UUID

from uuid_utils.compat import uuid7

from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.domain.event import Entity, Event, FieldFlags, all_flags
from app.domain.national_ids import mask_text
from app.domain.revisions import SUSPECTED, EventReceipt, RevisionDecision, fold
from app.errors import AuthenticationError, InvalidDeliveryError
from app.processing.processor import validate
from app.processing.saved_request import SavedRequest
from app.providers import registry
from app.providers.base import kept_headers
from app.storage import answers, events, late_retries, receipts, reports
from app.storage.answers import Answer
from app.storage.connection import Connection
from config.environment import Environment
from config.settings import IngestSettings

# A step and its result. It never holds a secret, or a value that is masked elsewhere.
Explanation = tuple[str, str]


class Explainer:
    """Explains deliveries with the present keys, secrets and ledger. It changes nothing."""

    def __init__(self, environment: Environment, connection: Connection) -> None:
        self._environment = environment
        self._connection = connection

    def request(self, request: SavedRequest) -> Iterator[Explanation]:
        """Explain a request as if it arrived now."""
        settings = IngestSettings.read(self._environment)
        authentication = registry.load_authentication(request.provider, self._environment)
        self._environment.check()
        if authentication is None or request.provider not in settings.providers:
            yield ("outcome", f"404: {mask_text(request.provider)} is not among PROVIDERS; nothing is stored")
            return
        if request.topic not in authentication.topics:
            topic = request.topic and mask_text(request.topic)
            yield ("outcome", f"404: {request.provider} has no topic {topic!r}; nothing is stored")
            return
        topic = request.topic or "named by a header"
        yield ("request", f"provider {request.provider}, topic {topic}")
        try:
            authentic = authentication.authenticate(request)
        except AuthenticationError as error:
            yield ("authentication", f"rejected: {error}")
            yield ("outcome", "401: nothing is stored")
            return
        if authentic is None:
            yield ("authentication", "a handshake: unsigned, and its body says nothing")
            yield ("outcome", "200: nothing is stored")
            return
        if len(request.body) > settings.body_limit_bytes:
            yield ("outcome", f"413: {len(request.body)} bytes exceed BODY_LIMIT_BYTES; nothing is stored")
            return
        yield ("authentication", f"{authentic.credential} matched; it covers {authentic.covers}")
        if not request.body:
            yield ("outcome", "503: the body is empty, so that the sender tries again; nothing is stored")
            return
        headers = kept_headers(authentication, request)
        receipt = uuid7()
        sealed = self._seals().seal(receipt, request.body)
        delivery = Delivery(receipt, request.provider, authentic.topic, headers, sealed)
        yield from self._explain_processing(delivery, datetime.now(UTC))

    def receipt(self, receipt: UUID) -> Iterator[Explanation]:
        """Explain a receipt of the ledger.

        Raises:
            LookupError: The ledger has no such receipt, or only its tombstone.
        """
        loaded = receipts.load(self._connection, [receipt])
        if not loaded:
            raise LookupError(receipts.why_without_body(self._connection, receipt))
        delivery, received_at = loaded[0].delivery, loaded[0].received_at
        yield ("request", f"provider {delivery.provider}, topic {delivery.topic}, received {received_at}")
        yield ("authentication", "passed at the time of receipt; the credentials are not stored")
        outcome = receipts.outcome(self._connection, receipt)
        yield ("ledger", _join(outcome.name, outcome.reason))
        yield ("now", "a replay would do this:" if outcome.name in ("dead", "discarded") else "it was processed so:")
        yield from self._explain_processing(delivery, received_at)

    def _seals(self) -> SealingKeys:
        keys = self._environment.keys("SEALING_KEYS")
        self._environment.check()
        return SealingKeys(keys)

    def _explain_processing(self, delivery: Delivery, received_at: datetime) -> Iterator[Explanation]:
        provider = registry.load(delivery.provider, self._environment)
        self._environment.check()
        if provider is None:
            raise LookupError(f"{delivery.provider} has no folder in app/providers")
        key_id = SealingKeys.key_of(delivery.sealed)
        yield ("seal", f"sealed with key {key_id}, {len(delivery.sealed)} bytes")
        try:
            body = self._seals().unseal(delivery.receipt, delivery.sealed)
            payload = provider.open(delivery.topic, delivery.headers, body)
            how = f"with key {payload.opened_by}" if payload.opened_by else "without a key: it is not encrypted"
            yield ("open", f"opened {how}; keys: {', '.join(map(mask_text, payload.content))}")
            event = validate(provider, payload)
        except InvalidDeliveryError as error:
            yield ("outcome", f"dead: {error}")
            return
        flags = "; ".join(f"{key}: {', '.join(flags)}" for key, flags in event.field_flags.items() if flags)
        yield ("validation", f"valid; flags: {flags or 'none'}")
        if event.undeclared:
            found = sorted({f"{each.kind} {each.path}" for each in event.undeclared})
            yield ("schema", f"does not declare: {', '.join(found)}")
        receipt = EventReceipt(
            delivery.receipt,
            received_at,
            event.digests,
            event.provider_event_id,
            event.body_digest,
            is_accepted=late_retries.is_accepted(self._connection, delivery.receipt),
        )
        yield from self._explain_revision(event, receipt)

    def _explain_revision(self, event: Event, receipt: EventReceipt) -> Iterator[Explanation]:
        rows = events.select(self._connection, [event.entity])
        others = {
            row.event_receipt.receipt: row.event_receipt for row in rows if row.event_receipt.receipt != receipt.receipt
        }
        every = others | {receipt.receipt: receipt}
        decided = {other: (every[other], decision) for other, decision in fold(every.values(), event.schedule).items()}
        return explain_decision(self._connection, event.entity, receipt, decided, event.field_flags)


def explain_decision(
    connection: Connection,
    entity: Entity,
    receipt: EventReceipt,
    decided: Mapping[UUID, tuple[EventReceipt, RevisionDecision]],
    field_flags: FieldFlags,
) -> Iterator[Explanation]:
    """Explain the decision on a receipt; `decided` has all receipts of its entity, and the decision on each."""
    event_id = receipt.provider_event_id
    identity = f"its id, {event_id}" if event_id else f"its content, {len(receipt.digests)} keys"
    yield ("identity", f"{entity.event_type} {entity.entity_id}, recognised by {identity}")
    earlier = [
        (decision.revision, other)
        for other, decision in decided.values()
        if decision.revision is not None and other.order < receipt.order
    ]
    decision = decided[receipt.receipt][1]
    yield ("history", _compare_with_earlier(decision, receipt, sorted(earlier, key=itemgetter(0))))
    if decision.retry_of:
        found = answers.find(connection, decision.retry_of)
        tries = ", ".join(f"{other} (answer {_answer(found.get(other))})" for other in decision.retry_of)
        yield ("retry", f"the time fits the provider's retry schedule after {tries}")
    if decision.revision is None:
        suspected = {row["receipt"] for row in reports.suspected_late_retries(connection)}
        flagged = f"flagged {SUSPECTED}" if receipt.receipt in suspected else ""
        yield ("outcome", _join(_join("duplicate", decision.reason), flagged))
    else:
        flags = ", ".join(sorted({*all_flags(field_flags), *decision.flags}))
        details = [detail for detail in (decision.reason, flags and f"flagged {flags}") if detail]
        yield ("outcome", _join(f"stored as revision {decision.revision}", ", ".join(details)))


def _compare_with_earlier(
    decision: RevisionDecision, receipt: EventReceipt, earlier: list[tuple[int, EventReceipt]]
) -> str:
    """Return in words how a receipt differs from the revisions before it."""
    if not earlier:
        return "the first of its entity"
    if decision.revision is None:
        number, revision = next(
            (number, revision)
            for number, revision in reversed(earlier)
            if revision.provider_event_id == receipt.provider_event_id and receipt.adds_nothing_to(revision)
        )
        return f"adds nothing to revision {number}, receipt {revision.receipt}"
    number, revision = earlier[-1]
    changed = sorted(key for key, digest in receipt.digests.items() if revision.digests.get(key) != digest)
    how = f"in: {', '.join(changed)}" if changed else "by its id, or by arriving when no retry does"
    return f"differs from revision {number}, receipt {revision.receipt}, {how}"


def _answer(answer: Answer | None) -> str:
    if answer is None:
        return "unknown"
    return f"{'complete' if answer.complete else 'not taken'} after {answer.milliseconds} ms"


def _join(outcome: str, detail: str | None) -> str:
    return f"{outcome}, {detail}" if detail else outcome
