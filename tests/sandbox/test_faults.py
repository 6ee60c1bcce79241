"""Every fault does what its description says."""

import base64
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from app.sandbox.dispatcher import Dispatcher
from app.sandbox.faults import FAULTS, SLOW_SECONDS
from app.sandbox.hooks import Event, Hook
from app.sandbox.solaris import sign
from tests.fake_receiver import Request, receiver
from tests.sandbox.dispatching import APPLICATION, CREDIT_LINE, DECISION, KEY, Tries, kompars, subscription

OTHER = replace(CREDIT_LINE, id="e-4", document={"id": "c-1", "status": "expired"})


def opened(request: Request, key: str = KEY) -> dict[str, Any]:
    """Return what a request of Kompar's says."""
    envelope = json.loads(request.body)
    iv = base64.b64decode(envelope["iv"]).hex().encode()
    decryptor = Cipher(algorithms.AES(key.encode()), modes.CBC(iv)).decryptor()
    plain = decryptor.update(base64.b64decode(envelope["data"])) + decryptor.finalize()
    found: dict[str, Any] = json.loads(plain[: -plain[-1]])
    return found


def test_each_is_named_and_told_in_a_line() -> None:
    assert set(FAULTS) == {
        "duplicate", "reorder", "wrong-token", "wrong-key", "fewer-fields", "corrected", "slow-client", "cut",
        "lost-timers",
    }  # fmt: skip
    assert all(name == fault.name and "\n" not in fault.description for name, fault in FAULTS.items())


def test_an_unknown_fault_is_refused(fast: Dispatcher) -> None:
    with receiver() as found, pytest.raises(KeyError):
        fast.send(kompars(found), APPLICATION, "sunshine")
    assert fast.pending == 0


def test_a_duplicate_is_sent_twice(fast: Dispatcher, tries: Tries) -> None:
    with receiver() as found:
        fast.send(subscription(found), CREDIT_LINE, "duplicate")
        assert fast.wait(10)
    assert [request.headers["Solaris-Webhook-Id"] for request in found.requests] == ["e-2", "e-2"]
    assert [(each.attempt, each.event, each.fault) for each in tries] == [(1, "e-2", "duplicate")] * 2


def test_a_reordered_event_is_overtaken(fast: Dispatcher) -> None:
    with receiver() as found:
        fast.send(subscription(found), CREDIT_LINE, "reorder")
        fast.send(subscription(found), OTHER)
        assert fast.wait(10)
    assert [request.headers["Solaris-Webhook-Id"] for request in found.requests] == ["e-4", "e-2"]


def test_a_wrong_token_is_wrong_in_every_try_and_must_be_refused(fast: Dispatcher, tries: Tries) -> None:
    with receiver(lambda _: 401) as found:
        fast.send(kompars(found), APPLICATION, "wrong-token")
        fast.send(subscription(found), CREDIT_LINE, "wrong-token")
        assert fast.wait(30)
    assert {request.headers.get("Authorization") for request in found.requests} == {"token not-token", None}
    for request in found.requests:
        if "Solaris-Webhook-Signature" in request.headers:
            assert request.headers["Solaris-Webhook-Signature"] != sign("secret", request.body)
    assert {each.becomes for each in tries} == {()}


def test_under_a_wrong_key_it_must_become_a_dead_letter(fast: Dispatcher, tries: Tries) -> None:
    with receiver() as found:
        fast.send(kompars(found), APPLICATION, "wrong-key")
        assert fast.wait(10)
    with pytest.raises(ValueError, match=r"codec|Expecting|Extra"):
        opened(found.requests[0])
    assert [each.becomes for each in tries] == [("dead",)]


def test_the_retry_of_a_decision_has_fewer_fields(fast: Dispatcher) -> None:
    with receiver() as found:
        fast.send(kompars(found, "decisions"), DECISION, "fewer-fields")
        assert fast.wait(10)
    assert [opened(request) for request in found.requests] == [
        DECISION.document,
        {"application_id": "a-1", "accepted": True, "offer_id": "o"},
    ]


@pytest.mark.parametrize(
    ("topic", "event", "key"), [("applications", APPLICATION, "amount"), ("decisions", DECISION, "accepted")]
)
def test_a_correction_follows_with_a_changed_value(
    fast: Dispatcher, tries: Tries, topic: str, event: Event, key: str
) -> None:
    with receiver() as found:
        fast.send(kompars(found, topic), event, "corrected")
        assert fast.wait(10)
    first, second = map(opened, found.requests)
    assert first == event.document
    assert {name for name in first if first[name] != second[name]} == {key}
    assert len({each.event for each in tries}) == 2


def test_the_correction_of_a_notification_is_another_notification(fast: Dispatcher) -> None:
    with receiver() as found:
        fast.send(subscription(found), CREDIT_LINE, "corrected")
        assert fast.wait(10)
    first, second = found.requests
    assert first.headers["Solaris-Webhook-Id"] != second.headers["Solaris-Webhook-Id"]
    assert json.loads(second.body) == {**CREDIT_LINE.document, "status_description": "Corrected"}


def test_a_slow_clients_body_takes_its_time(fast: Dispatcher) -> None:
    with receiver() as found:
        fast.send(kompars(found), APPLICATION, "slow-client")
        assert fast.wait(10)
    (request,) = found.requests
    assert SLOW_SECONDS * 0.8 < request.seconds < SLOW_SECONDS * 2
    assert opened(request) == APPLICATION.document


def test_a_cut_connection_counts_as_failed_whether_the_answer_was_read_or_not(fast: Dispatcher, tries: Tries) -> None:
    with receiver() as found:
        for number in range(20):
            fast.send(kompars(found), replace(APPLICATION, id=f"cut-{number}"), "cut")
        assert fast.wait(10)
    assert len(found.requests) == 40
    firsts = Counter(each.status for each in tries if each.attempt == 1)
    assert set(firsts) == {0, 200}
    assert all(each.receipt is not None for each in tries if each.status == 200)
    assert [each.status for each in tries if each.attempt == 2] == [200] * 20


def test_a_lost_timer_means_that_no_retry_comes(fast: Dispatcher) -> None:
    with receiver() as found:
        fast.send(kompars(found), APPLICATION, "lost-timers")
        assert fast.wait(10)
    assert (len(found.requests), fast.final_statuses) == (1, {"lost": 1})


def test_a_fault_befalls_only_what_knows_it() -> None:
    def befallen(name: str, hooks: list[Hook]) -> list[str]:
        return [hook.topic for hook in hooks if FAULTS[name].applies_to(hook.provider, hook.topic)]

    with receiver() as found:
        hooks: list[Hook] = [kompars(found), kompars(found, "decisions"), subscription(found)]
    assert befallen("wrong-key", hooks) == ["applications", "decisions"]
    assert befallen("fewer-fields", hooks) == ["decisions"]
    assert befallen("duplicate", hooks) == [hook.topic for hook in hooks]
