"""What is asked for on the command line, what is sent for it, and how it is summed up."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from app.audit.attempt_log import AttemptLog, AttemptLogWriteError, DeliveryAttempt
from app.sandbox import fake_solaris, options
from app.sandbox.commands import send_at_rate
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Hook
from app.sandbox.kompar import KomparHook
from app.sandbox.sender import Summary
from app.sandbox.solaris import SolarisHook
from app.sandbox.workload import KINDS, Step, steps
from tests.support.fake_receiver import Answers, receiver

HOOKS: dict[str, Hook] = {topic: KomparHook("", topic, "t", "k" * 32) for topic in ("applications", "decisions")}
HOOKS |= {name: SolarisHook("", name, "s", "secret") for name in fake_solaris.EVENT_TYPES}
WEIGHTS = {"applications": 6, "decisions": 2, "solaris": 2}
# Events that are sent at a rate.
COUNT = 60


def test_weights_and_fault_shares_are_parsed() -> None:
    assert options.weights("applications=6, decisions=0,solaris=2") == {"applications": 6, "solaris": 2}
    assert options.fault_share("duplicate=2.5%") == ("duplicate", 0.025)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((options.weights, text) for text in ("", "applications", "applications=0", "letters=1", "solaris=-1")),
        *((options.fault_share, text) for text in ("duplicate", "duplicate=2", "duplicate=101%", "sunshine=2%")),
    ],
)
def test_invalid_value_is_reported_with_an_example_or_the_choices(kind: type, text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"write it like|there are"):
        kind(text)


def test_steps_keep_weights_and_fault_shares() -> None:
    faults = [("duplicate", 0.1), ("fewer-fields", 0.5)]
    plan = list(itertools.islice(steps(1, WEIGHTS, HOOKS, faults), 2000))
    kinds = Counter(step.hook.topic if step.hook.provider == "kompar" else "solaris" for step in plan)
    assert {kind: round(count / 200) for kind, count in kinds.items()} == WEIGHTS
    faulty = Counter((step.hook.topic, step.fault) for step in plan)
    assert 0.07 < faulty["applications", "duplicate"] / kinds["applications"] < 0.13
    assert 0.42 < faulty["decisions", "fewer-fields"] / kinds["decisions"] < 0.58
    assert not [topic for topic, fault in faulty if fault == "fewer-fields" and topic != "decisions"]


def test_steps_decide_on_earlier_applications() -> None:
    applied, decided = set(), []
    for step in itertools.islice(steps(1, {"applications": 3, "decisions": 1}, HOOKS, ()), 400):
        if step.hook.topic == "applications":
            applied.add(step.event.entity_id)
        else:
            decided.append(step.event.entity_id in applied)
    assert sum(decided) / len(decided) > 0.9


def test_steps_keep_the_order_of_each_credit_line() -> None:
    lives: dict[str, list[str]] = {}
    order = []
    for step in itertools.islice(steps(1, {"solaris": 1}, HOOKS, ()), 600):
        if step.hook.topic == fake_solaris.CREDIT_LINE:
            lives.setdefault(step.event.entity_id, []).append(str(step.event.document["status"]))
            order.append(step.event.entity_id)
    assert all(life[0] == "credit_record_pending" and len(set(life)) == len(life) for life in lives.values())
    assert any(earlier != later for earlier, later in itertools.pairwise(order))


def test_steps_with_the_same_seed_are_equal() -> None:
    def generate(seed: int) -> list[tuple[str, object, str | None]]:
        plan = itertools.islice(steps(seed, WEIGHTS, HOOKS, [("cut", 0.2)]), 100)
        return [(step.event.entity_id, step.event.document, step.fault) for step in plan]

    assert generate(3) == generate(3) != generate(4)
    assert set(KINDS) == set(WEIGHTS)


def test_send_at_rate_measures_its_own_delay() -> None:
    """One lane and answers that take 50 ms make 20 in a second, not 40: the last is due 1.5 s before it can begin."""

    def slowly(_: object) -> int:
        time.sleep(0.05)  # what is measured is that an answer takes its time
        return 200

    measured, recorded = sent_at_rate(slowly, concurrency=1)
    assert 1.2 < measured <= recorded


def test_send_at_rate_with_a_lane_for_each_event_waits_for_no_answer() -> None:
    """No event is answered before all have arrived."""
    arrived = threading.Event()

    def together(requests: Sequence[object]) -> int:
        if len(requests) == COUNT:
            arrived.set()
        arrived.wait(60)
        return 200

    measured, recorded = sent_at_rate(together, concurrency=COUNT)
    assert arrived.is_set()
    assert measured <= recorded


def sent_at_rate(answers: Answers, concurrency: int) -> tuple[float, float]:
    """Send at a rate; return the longest delay that the dispatcher has measured, and the longest by its record."""
    rate, attempts = 40, list[DeliveryAttempt]()
    with receiver(answers) as target, Dispatcher(attempts.append, concurrency=concurrency) as dispatcher:
        hook = KomparHook(target.url, "applications", "t", "k" * 32, timeout_seconds=60)
        plan = [Step(hook, step.event) for step in itertools.islice(steps(1, {"applications": 1}, HOOKS, ()), COUNT)]
        begun = datetime.now(UTC)
        count, _, _ = send_at_rate(dispatcher, iter(plan), rate=rate, seconds=COUNT / rate, on_sent=lambda _: None)
        assert dispatcher.wait(60)
    assert count == len(attempts) == COUNT
    due = {step.event.id: begun + timedelta(seconds=number / rate) for number, step in enumerate(plan)}
    return dispatcher.max_delay_seconds, max((each.at - due[each.event]).total_seconds() for each in attempts)


def test_summary_counts_answers_retries_and_faults() -> None:
    summary = Summary()
    for event, attempt, status, seconds in (
        ("i", 1, 503, 0.3),
        ("i", 2, 200, 0.1),
        ("j", 1, 200, 0.1),
        ("k", 1, 0, 0.1),
    ):
        at = datetime.now(UTC)
        summary.add(DeliveryAttempt(at, "p", "t", "t", "e", event, attempt, status, None, seconds, ("stored",), "cut"))
    assert (summary.attempts, summary.retried, summary.faults) == (4, 1, {"cut": 3})
    assert summary.statuses == {0: 1, 200: 2, 503: 1}
    assert (summary.milliseconds()["p50"], summary.milliseconds()["slowest"]) == (100, 300)
    assert summary.line() == "4 tries: 1 × no answer, 2 × 200, 1 × 503"
    assert Summary().milliseconds() == {}


def test_send_at_rate_stops_when_attempts_cannot_be_recorded() -> None:
    full = AttemptLog(Path("/dev/full"))
    with receiver() as target, Dispatcher(full.add) as dispatcher:
        hook = KomparHook(target.url, "applications", "t", "k" * 32)
        events = (Step(hook, step.event) for step in steps(1, {"applications": 1}, HOOKS, ()))
        with pytest.raises(AttemptLogWriteError, match="No space left on device"):
            send_at_rate(dispatcher, events, rate=50, seconds=60, on_sent=lambda _: None)
    with pytest.raises(AttemptLogWriteError):
        full.close()
