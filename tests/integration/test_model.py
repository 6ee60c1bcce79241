"""Deliveries, crashes and repetitions in any order come to what the model says, and the audit adds up at every step.

KVITTO_MODEL_EXAMPLES=1000 tries that many sequences, others each time.
"""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from app.audit.conservation import audit
from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.inbox.stream import Inbox
from app.processing.processor import DeliveryProcessor
from app.providers.base import Provider
from app.providers.kompar.events import Kompar
from app.providers.solaris.authentication import WEBHOOK_ID
from app.providers.solaris.events import Solaris
from app.sandbox.kompar import encrypt
from app.storage import dead_letters, overflow, receipts
from app.storage.connection import Connection
from app.storage.dead_letters import Selection
from app.storage.ledger import Ledger
from tests.support import tables
from tests.support.crashing_worker import STEPS, Killed, Worker
from tests.support.follower import Follower
from tests.support.follower import revisions as revisions_of
from tests.support.model import KNOWN_PURPOSE, UNKNOWN_PURPOSE, Sent, flags_of, outcomes, revisions, states

CREDIT_LINE, RATE = "FREELANCER_CREDIT_LINE_APPLICATION", "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE"
SECRET = b"s" * 32
SEALS = SealingKeys((("a", SECRET),))
SOLARIS = Solaris(Fingerprints(SECRET))
PROVIDERS = ("kompar", "solaris")
STATES = ("decisions", "applications", CREDIT_LINE)
# Ahead of every clock, so that all times are the test's own.
START = datetime(2100, 1, 1, tzinfo=UTC)
EXAMPLES = os.environ.get("KVITTO_MODEL_EXAMPLES")

optional: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "decisions": {"accepted": st.sampled_from([True, False, None]), "phone": st.sampled_from(["1", "2"])},
    "applications": {"amount": st.integers(1, 2), "purpose": st.sampled_from([KNOWN_PURPOSE, UNKNOWN_PURPOSE, None])},
    CREDIT_LINE: {"status": st.sampled_from(["offered", "expired"]), "person_id": st.sampled_from(["p", "q"])},
    RATE: {},
}
required: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "decisions": {"application_id": st.sampled_from(["a", "b"])},
    "applications": {"application_id": st.just("a")},
    CREDIT_LINE: {"id": st.sampled_from(["c", "d"])},
    RATE: {
        "id": st.just("o"),
        "interest_accrual_rate": st.sampled_from([0.5, 1.5]),
        "effective_from": st.just("2100-02-03T00:00:00Z"),
    },
}
topics = st.sampled_from(sorted(required))
identities = st.none() | st.sampled_from(["w-1", "w-2"])
stores = st.sampled_from(["inbox", "overflow"])
routes = stores | st.just("both")  # the inbox's answer is lost, so it goes to the overflow too
whose = st.integers(0, 1)
providers = st.sampled_from(PROVIDERS)


def kompar(keys: Sequence[bytes]) -> Kompar:
    return Kompar(tuple((str(number), key) for number, key in enumerate(keys)), Fingerprints(SECRET))


class Deliveries(RuleBasedStateMachine):
    """Two workers, two providers, and a provider's side that repeats, corrects and shortens."""

    sent = Bundle("sent")

    def __init__(
        self, redis: Redis, connection: Connection, database: str, folder: Path, operators_ledger: Ledger
    ) -> None:
        super().__init__()
        self.redis, self.connection, self.database, self.folder = redis, connection, database, folder
        self.operators_ledger = operators_ledger
        self.inboxes = {name: Inbox(redis, name, time_ms=self.time_ms) for name in PROVIDERS}
        self.now = START
        self.keys = [b"k" * 32]
        self.known: list[Sent] = []
        self.bodies: dict[UUID, bytes] = {}
        self.sealed: dict[UUID, bytes] = {}
        self.overflowed: dict[UUID, datetime] = {}
        self.followers: dict[str, Follower] = {}
        self.workers: list[Worker | None] = [None, None]

    @initialize()
    def begin(self) -> None:
        tables.clear(self.connection)
        self.followers = {name: Follower(self.connection, name) for name in PROVIDERS}
        self.renew_redis()

    # What arrives, and by which route.

    @rule(target=sent, topic=topics, identity=identities, route=routes, data=st.data())
    def deliver_something(self, topic: str, identity: str | None, route: str, data: st.DataObject) -> Sent:
        content = data.draw(st.fixed_dictionaries(required[topic], optional=optional[topic]))
        return self.deliver(topic, content, identity, route)

    @rule(target=sent, of=sent, route=routes)
    def deliver_a_retry(self, of: Sent, route: str) -> Sent:
        return self.deliver(of.topic, of.content, of.identity, route)

    @rule(target=sent, of=sent, identity=identities, route=routes, data=st.data())
    def deliver_a_correction(self, of: Sent, identity: str | None, route: str, data: st.DataObject) -> Sent:
        changes = data.draw(st.fixed_dictionaries(optional[of.topic]))
        return self.deliver(of.topic, of.content | changes, identity, route)

    @rule(target=sent, of=sent, route=routes)
    def deliver_the_very_bytes_again(self, of: Sent, route: str) -> Sent:
        return self.deliver(of.topic, of.content, of.identity, route, of.is_readable, resends=of)

    @rule(target=sent, of=sent, route=routes)
    def deliver_less(self, of: Sent, route: str) -> Sent:
        less = {key: value for key, value in of.content.items() if key in required[of.topic]}
        return self.deliver(of.topic, less, of.identity, route)

    @rule(target=sent, topic=st.sampled_from(["decisions", "applications"]), route=routes, data=st.data())
    def deliver_what_no_key_opens_yet(self, topic: str, route: str, data: st.DataObject) -> Sent:
        content = data.draw(st.fixed_dictionaries(required[topic], optional=optional[topic]))
        return self.deliver(topic, content, None, route, is_readable=False)

    @rule(back=st.integers(1, 3), store=stores, seconds=st.sampled_from([0, 60, 8000]))
    @precondition(lambda self: self.known)
    def append_again_since_the_answer_was_lost(self, back: int, store: str, seconds: int) -> None:
        self.time_passes(seconds)
        self.append(self.known[-back:][0], store)

    @rule(seconds=st.sampled_from([28, 35, 60, 120, 130, 870, 915, 3600, 8000, 7 * 24 * 3600]))
    def time_passes(self, seconds: int) -> None:
        if seconds:
            self.now += timedelta(seconds=seconds)

    # What workers do, and where they end.

    @rule(who=whose, provider=providers, sweeps=st.booleans(), step=st.none() | st.sampled_from(STEPS))
    def work(self, who: int, provider: str, sweeps: bool, step: str | None) -> None:
        worker = self.started(who)
        worker.go_on()
        worker.fate.step = step
        try:
            consumer = worker.consumers[provider]
            consumer.sweep() if sweeps else consumer.drain()
        except Killed:
            self.end(who)
        worker.fate.step = None

    @rule(who=whose, provider=providers, store=stores)
    def claim_and_be_slow(self, who: int, provider: str, store: str) -> None:
        worker = self.started(who)
        worker.go_on()
        consumer = worker.consumers[provider]
        worker.claim(consumer.inbox if store == "inbox" else consumer.overflow)

    @rule(who=whose)
    def end(self, who: int) -> None:
        if worker := self.workers[who]:
            worker.end()
        self.workers[who] = None

    # What operators do.

    @rule()
    def try_a_replay(self) -> None:
        self.replay([*self.keys, self.lost_key], dry_run=True)

    @rule()
    def mend_and_replay(self) -> None:
        """Give the workers the key that was missing, and replay what is dead for want of it."""
        self.keys.append(self.lost_key)
        for who in range(2):
            self.end(who)
        self.replay(self.keys, dry_run=False)
        for sent in self.known:
            sent.is_readable = True

    @rule()
    @precondition(lambda self: self.known)
    def empty_redis(self) -> None:
        self.drain()
        self.renew_redis()

    def renew_redis(self) -> None:
        self.redis.flushall()
        for inbox in self.inboxes.values():
            inbox.open()

    # What must hold.

    @invariant()
    def every_entry_is_accounted_for(self) -> None:
        for inbox in self.inboxes.values():
            assert audit(self.connection, inbox).missing == 0

    @invariant()
    def the_feed_says_of_every_revision_what_it_is_now(self) -> None:
        for name, follower in self.followers.items():
            assert follower.follow() == revisions_of(self.connection, name)

    @rule()
    def drain(self) -> None:
        """Take everything in, and compare all that dashboards read with the model."""
        for who in range(2):
            self.started(who).go_on()
        for name, inbox in self.inboxes.items():
            self.started(0).consumers[name].sweep()
            assert audit(self.connection, inbox).in_flight == 0
        assert tables.deliveries(self.connection) == self.expected_deliveries()
        assert tables.events(self.connection) == self.expected_events()
        for topic in STATES:
            assert tables.states(self.connection, topic) == states(self.known, topic)
        assert tables.rates(self.connection) == self.expected_rates()

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            for who in range(2):
                self.end(who)

    def expected_deliveries(self) -> dict[UUID, Any]:
        judged = outcomes(self.known)
        return {
            sent.receipt: (sent.entity[2] if sent.is_readable else None, *judged[sent.receipt][:2], sent.received_at)
            for sent in self.known
        }

    def expected_events(self) -> dict[UUID, Any]:
        return {
            sent.receipt: (outcome.revision, sent.content, flags_of(sent.content, outcome), sent.received_at)
            for rows in revisions(self.known).values()
            for sent, outcome in rows
        }

    def expected_rates(self) -> list[Any]:
        rows = revisions(self.known).get(("solaris", RATE, "o"), [])
        return sorted((sent.received_at, sent.content["interest_accrual_rate"]) for sent, _ in rows)

    # How it is done.

    @property
    def lost_key(self) -> bytes:
        """The key that is missing now."""
        return f"{len(self.keys):032}".encode()

    def replay(self, keys: list[bytes], dry_run: bool) -> None:
        letters = [letter["receipt"] for letter in dead_letters.select(self.connection, Selection())]
        settler = DeliveryProcessor(SEALS, kompar(keys))
        opened = [settler.process(received) for received in receipts.load(self.connection, letters)]
        self.operators_ledger.replay(opened, dry_run)

    def deliver(
        self,
        topic: str,
        content: dict[str, Any],
        identity: str | None,
        route: str,
        is_readable: bool = True,
        *,
        resends: Sent | None = None,
    ) -> Sent:
        provider = "kompar" if "application_id" in content else "solaris"
        receipt = UUID(int=len(self.known) + 1)
        sent = Sent(receipt, provider, topic, content, identity if provider == "solaris" else None, is_readable)
        if resends is not None and provider == "kompar":  # encrypted, so that its bytes identify it
            sent.resent = resends.resent or resends.receipt
            self.bodies[receipt] = self.bodies[resends.receipt]
        else:
            self.bodies[receipt] = self.body_of(sent)
        self.sealed[receipt] = SEALS.seal(receipt, self.bodies[receipt])
        self.known.append(sent)
        self.append(sent, "overflow" if route == "overflow" else "inbox")
        if route == "both":
            self.time_passes(1)
            self.append(sent, "overflow")
        return sent

    def body_of(self, sent: Sent) -> bytes:
        if sent.provider == "solaris":
            return json.dumps(sent.content).encode()
        return encrypt(sent.content, (self.keys[0] if sent.is_readable else self.lost_key).decode())

    def append(self, sent: Sent, store: str) -> None:
        headers = {WEBHOOK_ID: sent.identity} if sent.identity else {}
        delivery = Delivery(sent.receipt, sent.provider, sent.topic, headers, self.sealed[sent.receipt])
        if store == "inbox":
            self.inboxes[sent.provider].append(delivery)  # no wake-up is published: all are lost
            sent.times.append(self.now)
        else:
            overflow.append(self.connection, delivery, self.now)
            self.overflowed.setdefault(sent.receipt, self.now)
            sent.times.append(self.overflowed[sent.receipt])  # once there, again changes nothing

    def time_ms(self) -> int:
        return round(self.now.timestamp() * 1000)

    def started(self, who: int) -> Worker:
        worker = self.workers[who]
        if worker is None:
            opening: dict[str, Provider] = {"kompar": kompar(self.keys), "solaris": SOLARIS}
            worker = self.workers[who] = Worker(self.redis, self.database, self.folder, SEALS, opening)
            worker.start()
        return worker


@pytest.mark.parametrize("examples", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_any_sequence_comes_to_what_the_model_says(
    redis: Redis, connection: Connection, database: str, tmp_path: Path, examples: int
) -> None:
    operators_ledger = Ledger(database, "kompar")
    run_state_machine_as_test(
        lambda: Deliveries(redis, connection, database, tmp_path, operators_ledger),  # type: ignore[arg-type]
        settings=settings(
            max_examples=int(EXAMPLES or examples),
            stateful_step_count=40,
            derandomize=EXAMPLES is None,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    operators_ledger.close()
