"""Says step by step what Kvitto makes of a delivery: one in the ledger, or a request saved as a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.domain.event import Event, all_flags
from app.domain.masking import mask_text
from app.domain.revisions import EventReceipt, RevisionDecision, fold
from app.errors import AuthenticationError, InvalidDeliveryError
from app.processing.saved_request import SavedRequest
from app.providers import registry
from app.storage import events, receipts
from app.storage.connection import Connection
from config.environment import Environment
from config.settings import IngestSettings


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, and what came of it; never a secret, nor a value that is masked elsewhere."""

    step: str
    finding: str


class Explainer:
    """Explains with the keys and secrets at hand, and with the ledger as it stands; changes nothing."""

    def __init__(self, environment: Environment, connection: Connection) -> None:
        self._environment = environment
        self._connection = connection

    def request(self, request: SavedRequest) -> Iterator[Step]:
        """Explain a request as if it arrived now."""
        settings = IngestSettings.read(self._environment)
        authentication = registry.load_authentication(request.provider, self._environment)
        self._environment.check()
        if request.provider not in settings.providers:
            yield Step("outcome", f"404: {request.provider} is not among PROVIDERS; nothing is kept")
            return
        assert authentication is not None  # noqa: S101 - else check() has raised
        if request.topic not in authentication.topics:
            yield Step("outcome", f"404: {request.provider} has no topic {request.topic!r}; nothing is kept")
            return
        yield Step("request", f"provider {request.provider}, topic {request.topic or 'named by a header'}")
        try:
            authentic = authentication.authenticate(request)
        except AuthenticationError as error:
            yield Step("authentication", f"refused: {error}")
            yield Step("outcome", "401: nothing is kept")
            return
        if authentic is None:
            yield Step("authentication", "a handshake: unsigned and empty")
            yield Step("outcome", "200: nothing is kept")
            return
        if len(request.body) > settings.body_limit_bytes:
            yield Step("outcome", f"413: {len(request.body)} bytes are beyond BODY_LIMIT_BYTES; nothing is kept")
            return
        yield Step("authentication", f"{authentic.by} matched; it covers {authentic.signed}")
        headers = {name: value for name in authentication.kept_headers if (value := request.header(name))}
        receipt = uuid7()
        delivery = Delivery(
            receipt, request.provider, authentic.topic, headers, self._seals().seal(receipt, request.body)
        )
        yield from self._opened(delivery, datetime.now(UTC))

    def receipt(self, receipt: UUID) -> Iterator[Step]:
        """Explain a receipt of the ledger.

        Raises:
            LookupError: The ledger has no such receipt.
        """
        found = receipts.load(self._connection, [receipt])
        if not found:
            raise LookupError(f"the ledger has no receipt {receipt}")
        delivery, received_at = found[0].delivery, found[0].received_at
        yield Step("request", f"provider {delivery.provider}, topic {delivery.topic}, received {received_at}")
        yield Step("authentication", "passed when it was received; its credentials are not kept")
        outcome = receipts.outcome(self._connection, receipt)
        yield Step("ledger", _told(outcome.name, outcome.reason))
        yield Step("now", "were it settled now:" if outcome.name == "dead" else "as it is settled:")
        yield from self._opened(delivery, received_at)

    def _seals(self) -> SealingKeys:
        keys = self._environment.keys("SEALING_KEYS")
        self._environment.check()
        return SealingKeys(keys)

    def _opened(self, delivery: Delivery, received_at: datetime) -> Iterator[Step]:
        provider = registry.load(delivery.provider, self._environment)
        self._environment.check()
        assert provider is not None  # noqa: S101 - else check() has raised
        yield Step("seal", f"sealed with key {SealingKeys.key_of(delivery.sealed)}, {len(delivery.sealed)} bytes")
        try:
            body = self._seals().unseal(delivery.receipt, delivery.sealed)
            payload = provider.open(delivery.topic, delivery.headers, body)
            how = f"with key {payload.opened_by}" if payload.opened_by else "without a key: it is not encrypted"
            yield Step("open", f"opened {how}; keys: {mask_text(', '.join(payload.content))}")
            event = provider.validate(payload)
        except InvalidDeliveryError as error:
            yield Step("outcome", f"dead: {error}")
            return
        doubtful = "; ".join(f"{key}: {', '.join(flags)}" for key, flags in event.field_flags.items() if flags)
        yield Step("validation", f"valid; flags: {doubtful or 'none'}")
        yield from self._history(
            event, EventReceipt(delivery.receipt, received_at, event.digests, event.provider_event_id)
        )

    def _history(self, event: Event, occurrence: EventReceipt) -> Iterator[Step]:
        by = (
            f"its id, {event.provider_event_id}"
            if event.provider_event_id
            else f"its content, {len(event.digests)} keys"
        )
        yield Step("identity", f"{event.entity.event_type} {event.entity.entity_id}, recognised by {by}")
        found = events.histories(self._connection, [event.entity]).get(event.entity, [])
        others = {
            row.occurrence.receipt: row.occurrence for row in found if row.occurrence.receipt != occurrence.receipt
        }
        verdicts = fold([*others.values(), occurrence], event.horizon)
        earlier = [
            (verdict.revision, others[receipt])
            for receipt, verdict in verdicts.items()
            if verdict.revision is not None and receipt in others and others[receipt].order < occurrence.order
        ]
        yield Step("history", _compared(verdicts[occurrence.receipt], occurrence, earlier))
        yield Step("outcome", _outcome(verdicts[occurrence.receipt], all_flags(event.field_flags)))


def _compared(verdict: RevisionDecision, occurrence: EventReceipt, earlier: list[tuple[int, EventReceipt]]) -> str:
    """Say what a receipt adds to the revisions before it."""
    if not earlier:
        return "the first of its entity"
    if verdict.revision is None:
        same = [(n, each) for n, each in reversed(earlier) if each.provider_event_id == occurrence.provider_event_id]
        revision, version = next((n, each) for n, each in same if occurrence.brings_nothing_new_to(each))
        return f"brings nothing new to revision {revision}, receipt {version.receipt}"
    revision, version = earlier[-1]
    changed = sorted(key for key, digest in occurrence.digests.items() if version.digests.get(key) != digest)
    what = f"in: {', '.join(changed)}" if changed else "by its id, or by coming later than retries do"
    return f"differs from revision {revision}, receipt {version.receipt}, {what}"


def _outcome(verdict: RevisionDecision, flags: list[str]) -> str:
    if verdict.revision is None:
        return _told("duplicate", verdict.reason)
    flagged = ", ".join(sorted({*flags, *verdict.flags}))
    return _told(f"stored as revision {verdict.revision}", flagged and f"flagged {flagged}")


def _told(outcome: str, more: str | None) -> str:
    return f"{outcome}, {more}" if more else outcome
