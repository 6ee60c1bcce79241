"""What providers send during a fault: short scenarios, one entity each, the same for the same seed."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any
from uuid import UUID

from app.sandbox import fake_kompar, fake_solaris
from app.sandbox.hooks import Event
from app.sandbox.kompar import KomparHook
from app.sandbox.solaris import SolarisHook
from app.sandbox.workload import Step
from tests.support.providers.kompar_fixtures import KEY, TOKEN
from tests.support.providers.solaris_fixtures import SECRETS

# Hooks are addressed by path: the load chooses the server.
_APPLICATIONS = KomparHook("/webhooks/kompar/applications", "applications", TOKEN, KEY)
_DECISIONS = KomparHook("/webhooks/kompar/decisions", "decisions", TOKEN, KEY)
_CLEAR_DECISIONS = KomparHook("/webhooks/kompar/decisions", "decisions", TOKEN, None)
# What the receiver cannot open becomes a dead letter, of no known entity.
UNREADABLE = "wrong-key"

Scenario = list[Step]


def scenarios(seed: str, name: str) -> Iterator[Scenario]:
    """Yield endless scenarios; every entity's id begins with `name`."""
    random = Random(f"{seed}/{name}")
    for number in range(10**9):
        (make,) = random.choices(list(_SCENARIOS), list(_SCENARIOS.values()))
        yield make(random, f"{name}/{number}")


def application(random: Random, entity: str, fault: str | None = None, **changed: Any) -> Step:
    """Return the delivery of a loan application."""
    document = fake_kompar.application(random) | {"application_id": entity} | changed
    return _kompar(random, _APPLICATIONS, document, fault)


def _kompar(random: Random, hook: KomparHook, document: Mapping[str, Any], fault: str | None = None) -> Step:
    id_ = str(UUID(int=random.getrandbits(128)))
    return Step(hook, Event(id_, hook.topic, str(document["application_id"]), document), fault)


def _solaris(random: Random, event_type: str, document: Mapping[str, Any]) -> Step:
    hook = SolarisHook("/webhooks/solaris", event_type, "subscription", SECRETS[event_type])
    return Step(hook, fake_solaris.notification(random, event_type, document))


def _once(random: Random, entity: str) -> Scenario:
    return [application(random, entity)]


def _sent_again(random: Random, entity: str) -> Scenario:
    return [application(random, entity)] * 2


def _corrected(random: Random, entity: str) -> Scenario:
    first = application(random, entity)
    amount = random.randint(1, 10**6) * 2 + 1
    return [first, _kompar(random, _APPLICATIONS, {**first.event.document, "amount": amount})]


def _corrected_and_sent_again(random: Random, entity: str) -> Scenario:
    """Return a correction and its repetition. One of the first version counts by its time: a fault would decide."""
    first, second = _corrected(random, entity)
    return [first, second, second]


def _decided(random: Random, entity: str) -> Scenario:
    """Return a decision whose retry carries fewer fields: sometimes encrypted, sometimes not."""
    document = fake_kompar.decision(random, entity) | {"accepted": True, "offer_id": f"of-{random.randint(1, 999)}"}
    hook = random.choice((_DECISIONS, _CLEAR_DECISIONS))
    fewer: dict[str, Any] = {"application_id": entity, "accepted": True}
    return [application(random, entity), _kompar(random, hook, document), _kompar(random, hook, fewer)]


def _undecryptable(random: Random, entity: str) -> Scenario:
    return [application(random, entity, UNREADABLE)]


def _large(random: Random, entity: str) -> Scenario:
    description = random.randbytes(random.randint(150_000, 375_000)).hex()
    return [application(random, entity, company_description=description)]


def _credit_line(random: Random, entity: str) -> Scenario:
    facts = fake_solaris.credit_line(random)
    steps = [_solaris(random, event_type, {**document, "id": entity}) for event_type, document in facts]
    return [*steps, random.choice(steps)]


def _overdraft_rates(random: Random, entity: str) -> Scenario:
    changes = [fake_solaris.overdraft_rate(random) for _ in range(2)]
    return [_solaris(random, event_type, {**document, "id": entity}) for event_type, document in changes]


def _rejected_twice(random: Random, entity: str) -> Scenario:
    """Return two rejections of equal content: only their ids differ."""
    event_type, document = fake_solaris.rejected_transaction(random)
    steps = [_solaris(random, event_type, {**document, "account_id": entity}) for _ in range(2)]
    return [*steps, steps[0]]


def _id_reused(random: Random, entity: str) -> Scenario:
    event_type, document = fake_solaris.rejected_transaction(random)
    first = _solaris(random, event_type, {**document, "account_id": entity})
    other = {**first.event.document, "status_reason": "Another reason"}
    return [first, Step(first.hook, Event(first.event.id, event_type, entity, other))]


# How often each is sent, of 1000.
_SCENARIOS = {
    _once: 400,
    _sent_again: 150,
    _corrected: 100,
    _corrected_and_sent_again: 50,
    _decided: 100,
    _undecryptable: 10,
    _large: 3,
    _credit_line: 100,
    _overdraft_rates: 47,
    _rejected_twice: 30,
    _id_reused: 10,
}
