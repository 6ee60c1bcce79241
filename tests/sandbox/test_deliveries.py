"""Who registers at an API is delivered to over HTTPS, as its provider does, until that ends."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from app.providers.kompar.envelope import open_body
from tests.fake_receiver import Receiver, Request
from tests.sandbox.sandbox_process import KEY, Sandbox, playing
from tests.servers import eventually

TYPE = "INCOMING_REJECTED_TRANSACTION"


def register(sandbox: Sandbox, found: Receiver, *topics: str, base: str = "/kompar") -> None:
    """Register a receiver for topics, each at a path of its own."""
    for topic in topics:
        assert sandbox.call("POST", f"{base}/webhooks/{topic}", {"url": f"{found.url}/{topic}"}).status_code == 200


def subscribe(sandbox: Sandbox, found: Receiver, event_type: str = TYPE) -> dict[str, Any]:
    """Subscribe a receiver to an event type, and forget the handshake."""
    answer = sandbox.call("POST", "/solaris/v1/webhooks", {"event_type": event_type, "url": found.url})
    assert answer.status_code == 201
    found.requests.clear()
    return dict(answer.json or {})


def send(sandbox: Sandbox, api: str, **fields: Any) -> list[str]:
    """Have the sandbox send; return the ids of the events."""
    answer = sandbox.call("POST", f"/{api}/sandbox/send", fields)
    assert answer.status_code == 200, answer.text
    return list((answer.json or {})["events"])


def opened(request: Request) -> dict[str, Any]:
    """Open a delivery of Kompar's as the receiving side does."""
    assert request.headers["Authorization"] == "token delivery-token"
    found, key = open_body(request.body, [("the lender's", KEY.encode())])
    assert key == "the lender's"
    return found


def test_kompar_delivers_each_kind_to_where_it_is_registered(sandbox: Sandbox) -> None:
    with sandbox.receiver() as found:
        register(sandbox, found, "applications", "decisions")
        send(sandbox, "kompar", topic="applications", count=2)
        send(sandbox, "kompar", topic="decisions")
        assert sandbox.dispatcher.wait(20)
    assert sorted(request.path for request in found.requests) == ["/applications", "/applications", "/decisions"]
    applications = [opened(request) for request in found.requests if request.path == "/applications"]
    assert len({each["application_id"] for each in applications}) == 2
    assert all(isinstance(each["amount"], int) for each in applications)


def test_the_test_environment_tries_again_after_a_second_four_times(sandbox: Sandbox) -> None:
    with sandbox.receiver(lambda _: 500) as found:
        register(sandbox, found, "applications", base="/kompar/test")
        assert sandbox.call("GET", "/kompar/test/random/application").status_code == 200
        assert sandbox.dispatcher.wait(20)
    assert len(found.requests) == 5
    assert all(1 / 600 <= gap < 1 for gap in sandbox.gaps())


def test_a_flow_tells_of_one_client(sandbox: Sandbox) -> None:
    with sandbox.receiver() as found:
        register(sandbox, found, "applications", "decisions", base="/kompar/test")
        for step in ("start", "application", "decision"):
            assert sandbox.call("GET", f"/kompar/test/flow/{step}").status_code == 200
            assert sandbox.dispatcher.wait(20)
    application, decision = found.requests
    assert [application.path, decision.path] == ["/applications", "/decisions"]
    assert opened(application)["application_id"] == opened(decision)["application_id"]


def test_a_removed_webhook_gets_nothing_more_not_even_a_retry(tmp_path: Path) -> None:
    with playing(tmp_path, speed=1) as sandbox, sandbox.receiver(lambda _: 500) as found:
        register(sandbox, found, "applications")
        send(sandbox, "kompar", topic="applications")
        eventually(lambda: len(sandbox.tries) == 1, "a try that failed")
        assert sandbox.call("DELETE", "/kompar/webhooks/applications").status_code == 200
        assert sandbox.dispatcher.wait(10)
        answer = sandbox.call("POST", "/kompar/sandbox/send", {"topic": "applications"})
        assert (answer.status_code, answer.json) == (404, {"message": "applications has no subscriber at /kompar"})
    assert (len(found.requests), sandbox.dispatcher.final_statuses) == (1, {"dropped": 1})


def test_a_receiver_whose_certificate_is_not_trusted_gets_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    with playing(tmp_path / "stranger") as stranger, stranger.receiver() as found:
        register(sandbox, found, "applications", base="/kompar/test")
        send(sandbox, "kompar/test", topic="applications")
        assert sandbox.dispatcher.wait(20)
    assert [each.status for each in sandbox.tries] == [0] * 5
    assert found.requests == []


def test_solaris_signs_with_the_subscription_s_secret(sandbox: Sandbox) -> None:
    with sandbox.receiver() as found:
        made = subscribe(sandbox, found)
        (event,) = send(sandbox, "solaris", event_type=TYPE)
        assert sandbox.dispatcher.wait(20)
    (request,) = found.requests
    signature = hmac.new(made["secret"].encode(), request.body, hashlib.sha256).hexdigest()
    entity = json.loads(request.body)["account_id"]
    for name, value in {
        "Id": event,
        "Subscription-Id": made["id"],
        "Event-Type": TYPE,
        "Attempt": "1",
        "Signature": f"sha256={signature}",
    }.items():
        assert request.headers[f"Solaris-Webhook-{name}"] == value
    assert request.headers["Solaris-Entity-Id"] == entity


@pytest.mark.parametrize("event_type", ["FREELANCER_CREDIT_LINE_APPLICATION", "NEVER_HEARD_OF"])
def test_solaris_sends_events_of_any_type(sandbox: Sandbox, event_type: str) -> None:
    with sandbox.receiver() as found:
        subscribe(sandbox, found, event_type)
        send(sandbox, "solaris", event_type=event_type, count=3)
        assert sandbox.dispatcher.wait(20)
    assert {request.headers["Solaris-Webhook-Event-Type"] for request in found.requests} == {event_type}
    assert len({request.headers["Solaris-Webhook-Id"] for request in found.requests}) == 3


def test_410_cancels_the_subscription(sandbox: Sandbox) -> None:
    with sandbox.receiver(lambda requests: 410 if requests[-1].body else 200) as found:
        sandbox.call("POST", "/solaris/v1/webhooks", {"event_type": TYPE, "url": found.url})
        send(sandbox, "solaris", event_type=TYPE)
        assert sandbox.dispatcher.wait(20)
        assert sandbox.call("GET", "/solaris/v1/webhooks").json == []
        assert sandbox.call("POST", "/solaris/sandbox/send", {"event_type": TYPE}).status_code == 404
    assert sandbox.dispatcher.final_statuses == {"cancelled": 1}


def test_422_is_never_tried_again_and_the_subscription_stays(sandbox: Sandbox) -> None:
    with sandbox.receiver(lambda requests: 422 if requests[-1].body else 200) as found:
        subscribe(sandbox, found)
        send(sandbox, "solaris", event_type=TYPE)
        assert sandbox.dispatcher.wait(20)
        assert len(sandbox.call("GET", "/solaris/v1/webhooks").json or []) == 1
    assert (len(found.requests), sandbox.dispatcher.final_statuses) == (1, {"given up": 1})


def test_timers_are_lost_on_demand(tmp_path: Path) -> None:
    with playing(tmp_path, speed=1) as sandbox, sandbox.receiver(lambda _: 500) as found:
        register(sandbox, found, "applications")
        send(sandbox, "kompar", topic="applications", count=2)

        eventually(lambda: len(sandbox.tries) == 2, "two tries failed")
        lost: list[int] = []

        def all_lost() -> bool:
            lost.append((sandbox.call("POST", "/sandbox/lose-timers").json or {})["lost"])
            return sum(lost) == 2 and sandbox.dispatcher.wait(0)

        eventually(all_lost, "their timers lost")
        assert (sandbox.call("GET", "/sandbox").json or {})["final_statuses"] == {"lost": 2}
    assert len(found.requests) == 2


def test_a_fault_is_asked_for_by_name(sandbox: Sandbox) -> None:
    with sandbox.receiver() as found:
        register(sandbox, found, "applications")
        send(sandbox, "kompar", topic="applications", fault="duplicate")
        assert sandbox.dispatcher.wait(20)
    first, second = found.requests
    assert opened(first) == opened(second)
    assert {each.fault for each in sandbox.tries} == {"duplicate"}


@pytest.mark.parametrize("event_type", [TYPE, "NEVER_HEARD_OF"])
def test_any_event_of_solaris_can_be_corrected(sandbox: Sandbox, event_type: str) -> None:
    with sandbox.receiver() as found:
        subscribe(sandbox, found, event_type)
        send(sandbox, "solaris", event_type=event_type, fault="corrected")
        assert sandbox.dispatcher.wait(20)
    assert len({request.body for request in found.requests}) == 2


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
def test_what_cannot_be_sent(sandbox: Sandbox, api: str, fields: Any, status: int, message: str) -> None:
    url = {"url": "https://127.0.0.1:1/"}
    assert sandbox.call("POST", "/kompar/webhooks/applications", url).status_code == 200
    answer = sandbox.call("POST", f"/{api}/sandbox/send", fields)
    assert (answer.status_code, answer.json) == (status, {"message": message})


def test_the_sandbox_tells_what_is_registered_and_no_secret(sandbox: Sandbox) -> None:
    with sandbox.receiver() as found:
        made = subscribe(sandbox, found)
        register(sandbox, found, "decisions", base="/kompar/test")
    answer = sandbox.call("GET", "/sandbox")
    told = answer.json or {}
    assert [(each["api"], each["topic"], each["url"]) for each in told["subscriptions"]] == [
        ("kompar/test", "decisions", f"{found.url}/decisions"),
        ("solaris", TYPE, found.url),
    ]
    assert made["secret"] not in answer.text
    assert (told["pending"], told["final_statuses"]) == (0, {})
    assert told["faults"]["duplicate"]["topics"] == ["kompar/applications", "kompar/decisions", "solaris/*"]
    assert told["faults"]["fewer-fields"]["topics"] == ["kompar/decisions"]


def test_a_failure_can_be_looked_at_and_ended(sandbox: Sandbox) -> None:
    assert sandbox.call("POST", "/kompar/test/sandbox/fail", {"calls": 3}).json == {"calls": 3}
    assert sandbox.call("GET", "/kompar/test/token", headers={}).status_code == 500
    assert (sandbox.call("GET", "/sandbox").json or {})["failing"] == {"kompar": 0, "kompar/test": 2, "solaris": 0}
    assert sandbox.call("POST", "/kompar/test/sandbox/fail", {"calls": 0}).json == {"calls": 0}
    assert sandbox.call("GET", "/kompar/test/token", headers={}).status_code == 401
    assert sandbox.call("POST", "/kompar/sandbox/fail", {"calls": -1}).status_code == 400


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/kompar/webhooks/decisions", 404, "You have to provide url."),
        ("/solaris/v1/webhooks", 400, "event_type is missing or invalid"),
        ("/kompar/sandbox/send", 400, "the body is not a JSON object"),
    ],
)
def test_a_body_nested_too_deeply_is_a_bad_one(sandbox: Sandbox, path: str, status: int, told: str) -> None:
    answer = sandbox.call("POST", path, b"[" * 100_000)
    assert (answer.status_code, told in answer.text) == (status, True)


def test_who_sends_from_the_wrong_environment_is_told_the_other(sandbox: Sandbox) -> None:
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
def test_another_machine_controls_nothing(sandbox: Sandbox, method: str, path: str) -> None:
    for address in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"):
        stranger = {"REMOTE_ADDR": address}
        answer = sandbox.call(method, path, environ_base=stranger)
        assert (answer.status_code, answer.json) == (403, {"message": "only this machine may ask for that"})
    assert sandbox.call("GET", "/kompar/token", headers={}, environ_base=stranger).status_code == 401


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_controls_it_however_it_is_addressed(sandbox: Sandbox, address: str) -> None:
    assert sandbox.call("GET", "/sandbox", environ_base={"REMOTE_ADDR": address}).status_code == 200
