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
from tests.support.dispatching import APPLICATION, CREDIT_LINE, DECISION, KEY, Attempts, kompar_hook, solaris_hook
from tests.support.fake_receiver import Request, receiver

OTHER = replace(CREDIT_LINE, id="e-4", document={"id": "c-1", "status": "expired"})


def opened(request: Request, key: str = KEY) -> dict[str, Any]:
    """Return what a request of Kompar's says."""
    envelope = json.loads(request.body)
    iv = base64.b64decode(envelope["iv"]).hex().encode()
    decryptor = Cipher(algorithms.AES(key.encode()), modes.CBC(iv)).decryptor()
    plain = decryptor.update(base64.b64decode(envelope["data"])) + decryptor.finalize()
    content: dict[str, Any] = json.loads(plain[: -plain[-1]])
    return content


def test_faults_have_a_name_and_a_one_line_description() -> None:
    assert set(FAULTS) == {
        "duplicate", "reorder", "wrong-token", "wrong-key", "fewer-fields", "corrected", "slow-client", "cut",
        "lost-timers",
    }  # fmt: skip
    assert all("\n" not in fault.description for fault in FAULTS.values())


def test_send_with_unknown_fault_raises(dispatcher: Dispatcher) -> None:
    with receiver() as target, pytest.raises(KeyError):
        dispatcher.send(kompar_hook(target), APPLICATION, "sunshine")
    assert dispatcher.pending == 0


def test_duplicate_is_sent_twice(dispatcher: Dispatcher, attempts: Attempts) -> None:
    with receiver() as target:
        dispatcher.send(solaris_hook(target), CREDIT_LINE, "duplicate")
        assert dispatcher.wait(60)
    assert [request.headers["Solaris-Webhook-Id"] for request in target.requests] == ["e-2", "e-2"]
    assert [(each.attempt, each.event, each.fault) for each in attempts] == [(1, "e-2", "duplicate")] * 2


def test_reordered_event_is_overtaken(dispatcher: Dispatcher) -> None:
    with receiver() as target:
        dispatcher.send(solaris_hook(target), CREDIT_LINE, "reorder")
        dispatcher.send(solaris_hook(target), OTHER)
        assert dispatcher.wait(60)
    assert [request.headers["Solaris-Webhook-Id"] for request in target.requests] == ["e-4", "e-2"]


def test_wrong_token_is_wrong_in_every_attempt_and_must_be_rejected(dispatcher: Dispatcher, attempts: Attempts) -> None:
    with receiver(lambda _: 401) as target:
        dispatcher.send(kompar_hook(target), APPLICATION, "wrong-token")
        dispatcher.send(solaris_hook(target), CREDIT_LINE, "wrong-token")
        assert dispatcher.wait(60)
    assert {request.headers.get("Authorization") for request in target.requests} == {"token not-token", None}
    for request in target.requests:
        if "Solaris-Webhook-Signature" in request.headers:
            assert request.headers["Solaris-Webhook-Signature"] != sign("secret", request.body)
    assert {each.becomes for each in attempts} == {()}


def test_wrong_key_must_become_a_dead_letter(dispatcher: Dispatcher, attempts: Attempts) -> None:
    with receiver() as target:
        dispatcher.send(kompar_hook(target), APPLICATION, "wrong-key")
        assert dispatcher.wait(60)
    with pytest.raises(ValueError, match=r"codec|Expecting|Extra"):
        opened(target.requests[0])
    assert [each.becomes for each in attempts] == [("dead",)]


def test_fewer_fields_shortens_the_retry_of_a_decision(dispatcher: Dispatcher) -> None:
    with receiver() as target:
        dispatcher.send(kompar_hook(target, "decisions"), DECISION, "fewer-fields")
        assert dispatcher.wait(60)
    assert [opened(request) for request in target.requests] == [
        DECISION.document,
        {"application_id": "a-1", "accepted": True, "offer_id": "o"},
    ]


@pytest.mark.parametrize(
    ("topic", "event", "key"), [("applications", APPLICATION, "amount"), ("decisions", DECISION, "accepted")]
)
def test_corrected_sends_a_changed_value_after_delivery(
    dispatcher: Dispatcher, attempts: Attempts, topic: str, event: Event, key: str
) -> None:
    with receiver() as target:
        dispatcher.send(kompar_hook(target, topic), event, "corrected")
        assert dispatcher.wait(60)
    first, second = map(opened, target.requests)
    assert first == event.document
    assert {name for name in first if first[name] != second[name]} == {key}
    assert len({each.event for each in attempts}) == 2


def test_corrected_notification_has_another_id(dispatcher: Dispatcher) -> None:
    with receiver() as target:
        dispatcher.send(solaris_hook(target), CREDIT_LINE, "corrected")
        assert dispatcher.wait(60)
    first, second = target.requests
    assert first.headers["Solaris-Webhook-Id"] != second.headers["Solaris-Webhook-Id"]
    assert json.loads(second.body) == {**CREDIT_LINE.document, "status_description": "Corrected"}


def test_slow_client_stretches_the_body(dispatcher: Dispatcher) -> None:
    with receiver() as target:
        dispatcher.send(kompar_hook(target), APPLICATION, "slow-client")
        assert dispatcher.wait(60)
    (request,) = target.requests
    assert request.seconds > SLOW_SECONDS * 0.8
    assert opened(request) == APPLICATION.document


def test_cut_connection_counts_as_failed_with_answer_read_or_not(dispatcher: Dispatcher, attempts: Attempts) -> None:
    with receiver() as target:
        for number in range(20):
            dispatcher.send(kompar_hook(target), replace(APPLICATION, id=f"cut-{number}"), "cut")
        assert dispatcher.wait(60)
    assert len(target.requests) == 40
    firsts = Counter(each.status for each in attempts if each.attempt == 1)
    assert set(firsts) == {0, 200}
    assert all(each.receipt is not None for each in attempts if each.status == 200)
    assert [each.status for each in attempts if each.attempt == 2] == [200] * 20


def test_lost_timers_sends_no_retry(dispatcher: Dispatcher) -> None:
    with receiver() as target:
        dispatcher.send(kompar_hook(target), APPLICATION, "lost-timers")
        assert dispatcher.wait(60)
    assert (len(target.requests), dispatcher.final_statuses) == (1, {"lost": 1})


def test_fault_applies_to_its_topics_only() -> None:
    def supporting_topics(name: str, hooks: list[Hook]) -> list[str]:
        return [hook.topic for hook in hooks if FAULTS[name].applies_to(hook.provider, hook.topic)]

    with receiver() as target:
        hooks: list[Hook] = [kompar_hook(target), kompar_hook(target, "decisions"), solaris_hook(target)]
    assert supporting_topics("wrong-key", hooks) == ["applications", "decisions"]
    assert supporting_topics("fewer-fields", hooks) == ["decisions"]
    assert supporting_topics("duplicate", hooks) == [hook.topic for hook in hooks]
