"""What providers send during a fault: short stories, one entity each, the same for the same seed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from app.sandbox import fake_kompar, fake_solaris
from tests.providers.kompar_fixtures import KEY

_UNKNOWN_KEY = "u" * 32


@dataclass(frozen=True, slots=True)
class Event:
    """Something to be delivered until it is answered 200.

    key: what it is encrypted under; None: sent in clear.
    """

    provider: str
    event_type: str
    entity_id: str
    document: Mapping[str, Any]
    webhook_id: str | None = None
    key: str | None = None

    @property
    def opens(self) -> bool:
        """Whether the receiver can open it: what it cannot becomes a dead letter, of no known entity."""
        return self.key in (KEY, None)


Story = list[Event]


def stories(seed: str, name: str) -> Iterator[Story]:
    """Return an endless row of stories; `name` begins every entity's id."""
    random = Random(f"{seed}/{name}")
    for number in range(10**9):
        (tell,) = random.choices(list(_STORIES), list(_STORIES.values()))
        yield tell(random, f"{name}/{number}")


def application(random: Random, entity: str, key: str = KEY, **changed: Any) -> Event:
    """Return a loan application."""
    document = fake_kompar.application(random) | {"application_id": entity} | changed
    return Event("kompar", "applications", entity, document, key=key)


def _changed(event: Event, **changed: Any) -> Event:
    return Event(event.provider, event.event_type, event.entity_id, {**event.document, **changed}, key=event.key)


def _once(random: Random, entity: str) -> Story:
    return [application(random, entity)]


def _sent_again(random: Random, entity: str) -> Story:
    return [application(random, entity)] * 2


def _corrected(random: Random, entity: str) -> Story:
    first = application(random, entity)
    return [first, _changed(first, amount=random.randint(1, 10**6) * 2 + 1)]


def _overtaken_by_its_correction(random: Random, entity: str) -> Story:
    first, second = _corrected(random, entity)
    return [first, second, first, second]


def _decided(random: Random, entity: str) -> Story:
    """Tell of a decision whose retry carries less: sometimes encrypted, sometimes not."""
    document = fake_kompar.decision(random, entity) | {"accepted": True, "offer_id": f"of-{random.randint(1, 999)}"}
    key = random.choice((KEY, None))
    less = {"application_id": entity, "accepted": True}
    decisions = [Event("kompar", "decisions", entity, each, key=key) for each in (document, less)]
    return [application(random, entity), *decisions]


def _undecryptable(random: Random, entity: str) -> Story:
    return [application(random, entity, _UNKNOWN_KEY)]


def _large(random: Random, entity: str) -> Story:
    return [application(random, entity, company_description=random.randbytes(random.randint(150_000, 375_000)).hex())]


def _credit_line(random: Random, entity: str) -> Story:
    events = [
        _solaris(random, event_type, {**document, "id": entity})
        for event_type, document in fake_solaris.credit_line(random)
    ]
    return [*events, random.choice(events)]


def _overdraft_rates(random: Random, entity: str) -> Story:
    changes = [fake_solaris.overdraft_rate(random) for _ in range(2)]
    return [_solaris(random, event_type, {**document, "id": entity}) for event_type, document in changes]


def _rejected_twice(random: Random, entity: str) -> Story:
    """Two rejections of equal content: their ids alone tell them apart."""
    event_type, document = fake_solaris.rejected_transaction(random)
    events = [_solaris(random, event_type, {**document, "account_id": entity}) for _ in range(2)]
    return [*events, events[0]]


def _id_reused(random: Random, entity: str) -> Story:
    event_type, document = fake_solaris.rejected_transaction(random)
    first = _solaris(random, event_type, {**document, "account_id": entity})
    other = {**first.document, "status_reason": "Another reason"}
    return [first, Event("solaris", event_type, entity, other, first.webhook_id)]


def _solaris(random: Random, event_type: str, document: dict[str, Any]) -> Event:
    entity = str(document.get("id") or document["account_id"])
    return Event("solaris", event_type, entity, document, f"{random.getrandbits(128):032x}")


# How often each is told, of 1000.
_STORIES = {
    _once: 400,
    _sent_again: 150,
    _corrected: 100,
    _overtaken_by_its_correction: 50,
    _decided: 100,
    _undecryptable: 10,
    _large: 3,
    _credit_line: 100,
    _overdraft_rates: 47,
    _rejected_twice: 30,
    _id_reused: 10,
}
