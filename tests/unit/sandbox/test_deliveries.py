"""Who registers at an API is delivered to over HTTPS, as its provider does, until that ends."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from app.providers.kompar.envelope import open_body
from tests.support.fake_receiver import Receiver, Request
from tests.support.sandbox_process import KEY, Sandbox, sandbox_apis
from tests.support.servers import eventually

TYPE = "INCOMING_REJECTED_TRANSACTION"


def register(sandbox: Sandbox, target: Receiver, *topics: str, base: str = "/kompar") -> None:
    """Register a receiver for topics, each at a path of its own."""
    for topic in topics:
        assert sandbox.call("POST", f"{base}/webhooks/{topic}", {"url": f"{target.url}/{topic}"}).status_code == 200


def subscribe(sandbox: Sandbox, target: Receiver, event_type: str = TYPE) -> dict[str, Any]:
    """Subscribe a receiver to an event type, and forget the handshake."""
    answer = sandbox.call("POST", "/solaris/v1/webhooks", {"event_type": event_type, "url": target.url})
    assert answer.status_code == 201
    target.requests.clear()
    return dict(answer.json or {})


def send(sandbox: Sandbox, api: str, **fields: Any) -> list[str]:
    """Have the sandbox send; return the ids of the events."""
    answer = sandbox.call("POST", f"/{api}/sandbox/send", fields)
    assert answer.status_code == 200, answer.text
    return list((answer.json or {})["events"])


def opened(request: Request) -> dict[str, Any]:
    """Open a delivery of Kompar's as the receiving side does."""
    assert request.headers["Authorization"] == "token delivery-token"
    opened, key = open_body(request.body, [("the lender's", KEY.encode())])
    assert key == "the lender's"
    return opened.content


def test_kompar_delivers_each_topic_to_its_registered_url(sandbox: Sandbox) -> None:
    with sandbox.receiver() as target:
        register(sandbox, target, "applications", "decisions")
        send(sandbox, "kompar", topic="applications", count=2)
        send(sandbox, "kompar", topic="decisions")
        assert sandbox.dispatcher.wait(60)
    assert sorted(request.path for request in target.requests) == ["/applications", "/applications", "/decisions"]
    applications = [opened(request) for request in target.requests if request.path == "/applications"]
    assert len({each["application_id"] for each in applications}) == 2
    assert all(isinstance(each["amount"], int) for each in applications)


def test_kompar_test_environment_retries_four_times_after_a_second(sandbox: Sandbox) -> None:
    with sandbox.receiver(lambda _: 500) as target:
        register(sandbox, target, "applications", base="/kompar/test")
        assert sandbox.call("GET", "/kompar/test/random/application").status_code == 200
        assert sandbox.dispatcher.wait(60)
    assert len(target.requests) == 5
    assert all(1 / 600 <= gap < 1 for gap in sandbox.gaps())


def test_flow_sends_events_of_one_client(sandbox: Sandbox) -> None:
    with sandbox.receiver() as target:
        register(sandbox, target, "applications", "decisions", base="/kompar/test")
        for step in ("start", "application", "decision"):
            assert sandbox.call("GET", f"/kompar/test/flow/{step}").status_code == 200
            assert sandbox.dispatcher.wait(60)
    application, decision = target.requests
    assert [application.path, decision.path] == ["/applications", "/decisions"]
    assert opened(application)["application_id"] == opened(decision)["application_id"]


def test_removed_webhook_receives_no_retry(tmp_path: Path) -> None:
    with sandbox_apis(tmp_path, speed=1) as sandbox, sandbox.receiver(lambda _: 500) as target:
        register(sandbox, target, "applications")
        send(sandbox, "kompar", topic="applications")
        eventually(lambda: len(sandbox.attempts) == 1, "a try that failed")
        assert sandbox.call("DELETE", "/kompar/webhooks/applications").status_code == 200
        assert sandbox.dispatcher.wait(60)
        answer = sandbox.call("POST", "/kompar/sandbox/send", {"topic": "applications"})
        assert (answer.status_code, answer.json) == (404, {"message": "applications has no subscriber at /kompar"})
    assert (len(target.requests), sandbox.dispatcher.final_statuses) == (1, {"dropped": 1})


def test_receiver_with_untrusted_certificate_receives_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    with sandbox_apis(tmp_path / "stranger", has_own_authority=True) as stranger, stranger.receiver() as target:
        register(sandbox, target, "applications", base="/kompar/test")
        send(sandbox, "kompar/test", topic="applications")
        assert sandbox.dispatcher.wait(60)
    assert [each.status for each in sandbox.attempts] == [0] * 5
    assert target.requests == []


def test_solaris_signs_with_the_secret_of_the_subscription(sandbox: Sandbox) -> None:
    with sandbox.receiver() as target:
        subscription = subscribe(sandbox, target)
        (event,) = send(sandbox, "solaris", event_type=TYPE)
        assert sandbox.dispatcher.wait(60)
    (request,) = target.requests
    signature = hmac.new(subscription["secret"].encode(), request.body, hashlib.sha256).hexdigest()
    entity = json.loads(request.body)["account_id"]
    for name, value in {
        "Id": event,
        "Subscription-Id": subscription["id"],
        "Event-Type": TYPE,
        "Attempt": "1",
        "Signature": f"sha256={signature}",
    }.items():
        assert request.headers[f"Solaris-Webhook-{name}"] == value
    assert request.headers["Solaris-Entity-Id"] == entity


@pytest.mark.parametrize("event_type", ["FREELANCER_CREDIT_LINE_APPLICATION", "NEVER_HEARD_OF"])
def test_solaris_sends_events_of_any_type(sandbox: Sandbox, event_type: str) -> None:
    with sandbox.receiver() as target:
        subscribe(sandbox, target, event_type)
        send(sandbox, "solaris", event_type=event_type, count=3)
        assert sandbox.dispatcher.wait(60)
    assert {request.headers["Solaris-Webhook-Event-Type"] for request in target.requests} == {event_type}
    assert len({request.headers["Solaris-Webhook-Id"] for request in target.requests}) == 3


def test_status_410_cancels_the_subscription(sandbox: Sandbox) -> None:
    with sandbox.receiver(lambda requests: 410 if requests[-1].body else 200) as target:
        sandbox.call("POST", "/solaris/v1/webhooks", {"event_type": TYPE, "url": target.url})
        send(sandbox, "solaris", event_type=TYPE)
        assert sandbox.dispatcher.wait(60)
        assert sandbox.call("GET", "/solaris/v1/webhooks").json == []
        assert sandbox.call("POST", "/solaris/sandbox/send", {"event_type": TYPE}).status_code == 404
    assert sandbox.dispatcher.final_statuses == {"cancelled": 1}


def test_status_422_is_not_retried_and_keeps_the_subscription(sandbox: Sandbox) -> None:
    with sandbox.receiver(lambda requests: 422 if requests[-1].body else 200) as target:
        subscribe(sandbox, target)
        send(sandbox, "solaris", event_type=TYPE)
        assert sandbox.dispatcher.wait(60)
        assert len(sandbox.call("GET", "/solaris/v1/webhooks").json or []) == 1
    assert (len(target.requests), sandbox.dispatcher.final_statuses) == (1, {"given up": 1})


def test_lose_timers_forgets_waiting_retries(tmp_path: Path) -> None:
    with sandbox_apis(tmp_path, speed=1) as sandbox, sandbox.receiver(lambda _: 500) as target:
        register(sandbox, target, "applications")
        send(sandbox, "kompar", topic="applications", count=2)

        eventually(lambda: len(sandbox.attempts) == 2, "two tries failed")
        lost: list[int] = []

        def all_lost() -> bool:
            lost.append((sandbox.call("POST", "/sandbox/lose-timers").json or {})["lost"])
            return sum(lost) == 2 and sandbox.dispatcher.wait(0)

        eventually(all_lost, "their timers lost")
        assert (sandbox.call("GET", "/sandbox").json or {})["final_statuses"] == {"lost": 2}
    assert len(target.requests) == 2


def test_send_with_fault_applies_it(sandbox: Sandbox) -> None:
    with sandbox.receiver() as target:
        register(sandbox, target, "applications")
        send(sandbox, "kompar", topic="applications", fault="duplicate")
        assert sandbox.dispatcher.wait(60)
    first, second = target.requests
    assert opened(first) == opened(second)
    assert {each.fault for each in sandbox.attempts} == {"duplicate"}


@pytest.mark.parametrize("event_type", [TYPE, "NEVER_HEARD_OF"])
def test_corrected_fault_applies_to_every_event_type_of_solaris(sandbox: Sandbox, event_type: str) -> None:
    with sandbox.receiver() as target:
        subscribe(sandbox, target, event_type)
        send(sandbox, "solaris", event_type=event_type, fault="corrected")
        assert sandbox.dispatcher.wait(60)
    assert len({request.body for request in target.requests}) == 2


@pytest.mark.parametrize(
    ("api", "fields", "status", "message"),
    [
        ("kompar", {}, 400, "topic is missing, or nothing that kompar sends"),
        ("kompar", {"topic": "offers"}, 400, "topic is missing, or nothing that kompar sends"),
        ("kompar/test", {"topic": "decisions"}, 404, "decisions has no subscriber at /kompar/test"),
        ("kompar", {"topic": "applications", "count": 0}, 400, "count must be a whole number from 1 to 1000"),
        ("kompar", {"topic": "applications", "count": True}, 400, "count must be a whole number from 1 to 1000"),
        ("kompar", {"topic": "applications", "fault": "no"}, 400,
         "applications has no fault 'no'; GET /sandbox lists all"),
        ("kompar", {"topic": "applications", "fault": ["cut"]}, 400,
         "applications has no fault ['cut']; GET /sandbox lists all"),
        ("kompar", {"topic": "applications", "fault": "fewer-fields"}, 400,
         "applications has no fault 'fewer-fields'; GET /sandbox lists all"),
        ("solaris", {"event_type": "some"}, 400, "event_type is missing, or nothing that solaris sends"),
        ("solaris", ["some"], 400, "the body is not a JSON object"),
    ],
)  # fmt: skip
def test_send_with_invalid_fields_is_rejected(
    sandbox: Sandbox, api: str, fields: Any, status: int, message: str
) -> None:
    url = {"url": "https://127.0.0.1:1/"}
    assert sandbox.call("POST", "/kompar/webhooks/applications", url).status_code == 200
    answer = sandbox.call("POST", f"/{api}/sandbox/send", fields)
    assert (answer.status_code, answer.json) == (status, {"message": message})


def test_state_lists_subscriptions_without_secrets(sandbox: Sandbox) -> None:
    with sandbox.receiver() as target:
        subscription = subscribe(sandbox, target)
        register(sandbox, target, "decisions", base="/kompar/test")
    answer = sandbox.call("GET", "/sandbox")
    state = answer.json or {}
    assert [(each["api"], each["topic"], each["url"]) for each in state["subscriptions"]] == [
        ("kompar/test", "decisions", f"{target.url}/decisions"),
        ("solaris", TYPE, target.url),
    ]
    assert subscription["secret"] not in answer.text
    assert (state["pending"], state["final_statuses"]) == (0, {})
    assert state["faults"]["duplicate"]["topics"] == ["kompar/applications", "kompar/decisions", "solaris/*"]
    assert state["faults"]["fewer-fields"]["topics"] == ["kompar/decisions"]


def test_outage_is_shown_and_can_be_ended(sandbox: Sandbox) -> None:
    assert sandbox.call("POST", "/kompar/test/sandbox/fail", {"calls": 3}).json == {"calls": 3}
    assert sandbox.call("GET", "/kompar/test/token", headers={}).status_code == 500
    assert (sandbox.call("GET", "/sandbox").json or {})["failing"] == {"kompar": 0, "kompar/test": 2, "solaris": 0}
    assert sandbox.call("POST", "/kompar/test/sandbox/fail", {"calls": 0}).json == {"calls": 0}
    assert sandbox.call("GET", "/kompar/test/token", headers={}).status_code == 401
    assert sandbox.call("POST", "/kompar/sandbox/fail", {"calls": -1}).status_code == 400


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/kompar/webhooks/decisions", 404, "You have to provide url."),
        ("/solaris/v1/webhooks", 400, "event_type is missing or invalid"),
        ("/kompar/sandbox/send", 400, "the body is not a JSON object"),
    ],
)
def test_body_nested_too_deeply_is_rejected(sandbox: Sandbox, path: str, status: int, text: str) -> None:
    answer = sandbox.call("POST", path, b"[" * 100_000)
    assert (answer.status_code, text in answer.text) == (status, True)


def test_send_from_the_wrong_environment_names_the_other(sandbox: Sandbox) -> None:
    url = {"url": "https://127.0.0.1:1/"}
    assert sandbox.call("POST", "/kompar/test/webhooks/applications", url).status_code == 200
    answer = sandbox.call("POST", "/kompar/sandbox/send", {"topic": "applications"})
    assert answer.json == {
        "message": "applications has no subscriber at /kompar, but there are subscribers at /kompar/test"
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/sandbox"), ("POST", "/sandbox/lose-timers"), ("POST", "/kompar/sandbox/send"),
     ("POST", "/solaris/sandbox/fail")],
)  # fmt: skip
def test_admin_routes_reject_other_machines(sandbox: Sandbox, method: str, path: str) -> None:
    for address in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"):
        stranger = {"REMOTE_ADDR": address}
        answer = sandbox.call(method, path, environ_base=stranger)
        assert (answer.status_code, answer.json) == (403, {"message": "only this machine may ask for that"})
    assert sandbox.call("GET", "/kompar/token", headers={}, environ_base=stranger).status_code == 401


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_admin_routes_accept_every_loopback_address(sandbox: Sandbox, address: str) -> None:
    assert sandbox.call("GET", "/sandbox", environ_base={"REMOTE_ADDR": address}).status_code == 200
