"""Kompar's API answers as Kompar does, case by case."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from tests.support.sandbox_process import KOMPAR_LOGIN, Sandbox, basic, sandbox_apis

URL = {"url": "https://lender.example/webhooks"}
LOGIN = {"Authorization": basic(*KOMPAR_LOGIN)}
DONE = {"success": True}


def refused(message: str) -> dict[str, Any]:
    return {"success": False, "message": message}


@dataclass(frozen=True)
class Case:
    """A request below an environment's address, and its answer; `before` are requests that come first.

    Where headers are not given, a token is fetched and sent.
    """

    request: tuple[str, str]
    status: int
    answer: Any
    body: Any = None
    headers: dict[str, str] | None = None
    before: tuple[tuple[str, str, Any], ...] = field(default=())

    def __str__(self) -> str:
        message = self.answer.get("message", "") if isinstance(self.answer, dict) else ""
        return f"{' '.join(self.request)} {self.status} {message}"


GRANTED = {"success": True, "token": ANY, "token_type": "Bearer", "expires_in": 3600}
NO_LOGIN = refused("Missing authorization header.")
WRONG = refused("Invalid credentials.")
ABSENT = refused("Authorization not provided.")
TOKENS = [
    Case(("GET", "/token"), 200, GRANTED, headers=LOGIN),
    Case(("GET", "/token"), 401, NO_LOGIN, headers={}),
    Case(("GET", "/token"), 401, NO_LOGIN, headers={"Authorization": "lender"}),
    Case(("GET", "/token"), 401, NO_LOGIN, headers={"Authorization": "Basic lender:password"}),
    Case(("GET", "/token"), 401, NO_LOGIN, headers={"Authorization": "Bearer lender:password"}),
    Case(("GET", "/token"), 401, WRONG, headers={"Authorization": basic("lender", "wrong")}),
    Case(("GET", "/token"), 401, WRONG, headers={"Authorization": basic("another", "password")}),
    Case(("POST", "/token"), 404, None, headers=LOGIN),
]
WEBHOOKS = [
    case
    for topic, other in (("applications", "decisions"), ("decisions", "applications"))
    for path in [f"/webhooks/{topic}"]
    for taken in [refused(f"You have already registered {topic} webhook.")]
    for absent in [refused(f"You don't have registered {topic} webhook.")]
    for case in (
        Case(("POST", path), 200, DONE, URL),
        Case(("POST", path), 200, DONE, {"url": "https://10.0.0.1:8443/any?q=1", "more": True}),
        Case(("POST", path), 404, refused("You have to provide url.")),
        Case(("POST", path), 404, refused("You have to provide url."), {}),
        Case(("POST", path), 404, refused("You have to provide url."), {"url": None}),
        Case(("POST", path), 404, refused("You have to provide url."), ["https://lender.example"]),
        Case(("POST", path), 404, refused("You have to provide url."), b"{"),
        Case(("POST", path), 404, refused("Url has to be string."), {"url": 1}),
        Case(("POST", path), 404, refused("Url has to be string."), {"url": ["https://lender.example"]}),
        Case(("POST", path), 404, refused("Please use valid url."), {"url": ""}),
        Case(("POST", path), 404, refused("Please use valid url."), {"url": "random"}),
        Case(("POST", path), 404, refused("Please use valid url."), {"url": "https://"}),
        Case(("POST", path), 404, refused("Please use valid url."), {"url": "https://a b.example"}),
        Case(("POST", path), 404, refused("Please use valid url."), {"url": "https://lender.example:port"}),
        Case(("POST", path), 404, refused("Please use valid url."), {"url": "ftp://lender.example"}),
        Case(("POST", path), 404, refused("Please use https protocol."), {"url": "http://lender.example"}),
        Case(("POST", path), 404, taken, URL, before=(("POST", path, URL),)),
        Case(("POST", path), 404, taken, {"url": "https://another.example"}, before=(("POST", path, URL),)),
        Case(("POST", path), 200, DONE, URL, before=(("POST", f"/webhooks/{other}", URL),)),
        Case(("POST", path), 200, DONE, URL, before=(("POST", path, URL), ("DELETE", path, None))),
        Case(("DELETE", path), 200, DONE, before=(("POST", path, URL),)),
        Case(("DELETE", path), 404, absent),
        Case(("DELETE", path), 404, absent, before=(("POST", path, URL), ("DELETE", path, None))),
        Case(("DELETE", path), 404, absent, before=(("POST", f"/webhooks/{other}", URL),)),
        Case(("GET", path), 404, None),
        *(
            Case((method, path), 401, answer, URL, headers)
            for method in ("POST", "DELETE")
            for headers, answer in (
                ({}, ABSENT),
                ({"Authorization": "any"}, ABSENT),
                ({"Authorization": "Basic any"}, ABSENT),
                ({"Authorization": "Bearer any"}, WRONG),
            )
        ),
    )
]
STARTED = (("GET", "/flow/start", None),)
REGISTERED = tuple(("POST", f"/webhooks/{topic}", URL) for topic in ("applications", "decisions"))
NO_FLOW = refused("You have to start flow first.")
TRIGGERS = [
    Case(("GET", "/random/application"), 404, refused("Please register application webhook first.")),
    Case(("GET", "/random/decision"), 404, refused("Please register decision webhook first.")),
    Case(("GET", "/random/application"), 404, refused("Please register application webhook first."),
         before=REGISTERED[1:]),
    Case(("GET", "/flow/start"), 200, DONE | {"message": "New flow has been started."}),
    Case(("GET", "/flow/application"), 404, NO_FLOW, before=REGISTERED),
    Case(("GET", "/flow/decision"), 404, NO_FLOW, before=REGISTERED),
    Case(("GET", "/flow/application"), 404, refused("Please register application webhook first."), before=STARTED),
    Case(("GET", "/flow/decision"), 404, refused("Please register decision webhook first."), before=STARTED),
    *(
        Case(("GET", f"/{way}/{kind}"), 200, DONE | {"message": f"{kind.capitalize()} has been sent to your url."},
             before=REGISTERED + STARTED)
        for way in ("random", "flow")
        for kind in ("application", "decision")
    ),
    *(Case(("GET", path), 401, ABSENT, headers={}) for path in ("/random/decision", "/flow/start")),
]  # fmt: skip


def check(sandbox: Sandbox, base: str, case: Case) -> None:
    for method, path, body in case.before:
        assert sandbox.call(method, base + path, body).status_code == 200
    method, path = case.request
    answer = sandbox.call(method, base + path, case.body, case.headers)
    assert (answer.status_code, answer.json if case.answer is not None else None) == (case.status, case.answer)
    assert case.answer is None or answer.content_type == "application/json"


@pytest.mark.parametrize("base", ["/kompar", "/kompar/test"])
@pytest.mark.parametrize("case", TOKENS + WEBHOOKS, ids=str)
def test_call_in_either_environment_is_answered_as_documented(sandbox: Sandbox, base: str, case: Case) -> None:
    check(sandbox, base, case)


@pytest.mark.parametrize("case", TRIGGERS, ids=str)
def test_trigger_in_the_test_environment_is_answered_as_documented(sandbox: Sandbox, case: Case) -> None:
    check(sandbox, "/kompar/test", case)


@pytest.mark.parametrize("case", TRIGGERS, ids=str)
def test_trigger_in_production_is_unknown(sandbox: Sandbox, case: Case) -> None:
    method, path = case.request
    assert sandbox.call(method, f"/kompar{path}").status_code == 404


def test_token_expires_after_an_hour(sandbox: Sandbox) -> None:
    token = sandbox.bearer("/kompar")
    sandbox.clock.now += 3599
    assert sandbox.call("DELETE", "/kompar/webhooks/decisions", headers=token).status_code == 404
    sandbox.clock.now += 1
    answer = sandbox.call("DELETE", "/kompar/webhooks/decisions", headers=token)
    assert (answer.status_code, answer.json) == (401, refused("Token is expired."))


def test_new_token_invalidates_the_old_one_of_its_environment(sandbox: Sandbox) -> None:
    old, elsewhere = sandbox.bearer("/kompar"), sandbox.bearer("/kompar/test")
    new = sandbox.bearer("/kompar")
    answer = sandbox.call("DELETE", "/kompar/webhooks/decisions", headers=old)
    assert (answer.status_code, answer.json) == (401, WRONG)
    assert sandbox.call("DELETE", "/kompar/webhooks/decisions", headers=new).status_code == 404
    assert sandbox.call("DELETE", "/kompar/webhooks/decisions", headers=elsewhere).status_code == 401
    assert sandbox.call("DELETE", "/kompar/test/webhooks/decisions", headers=elsewhere).status_code == 404


def test_call_31_within_a_minute_is_answered_429(sandbox: Sandbox) -> None:
    for _ in range(30):
        assert sandbox.call("GET", "/kompar/token", headers=LOGIN).status_code == 200
        sandbox.clock.now += 1
    answer = sandbox.call("GET", "/kompar/token", headers=LOGIN)
    assert (answer.status_code, answer.json) == (429, refused("Too many requests."))
    assert sandbox.call("GET", "/kompar/test/token", headers=LOGIN).status_code == 200
    sandbox.clock.now += 30  # a minute after the first of them
    assert sandbox.call("GET", "/kompar/token", headers=LOGIN).status_code == 200
    assert sandbox.call("GET", "/kompar/token", headers=LOGIN).status_code == 429


def test_outage_answers_500_without_data(sandbox: Sandbox) -> None:
    token = sandbox.bearer("/kompar")
    assert sandbox.call("POST", "/kompar/sandbox/fail", {"calls": 2}).json == {"calls": 2}
    for method, path in (("GET", "/kompar/token"), ("DELETE", "/kompar/webhooks/decisions")):
        answer = sandbox.call(method, path, headers=token)
        assert (answer.status_code, answer.data) == (500, b"")
    assert sandbox.call("POST", "/kompar/webhooks/decisions", URL, headers=token).status_code == 200


def test_registrations_survive_a_restart(tmp_path: Path) -> None:
    with sandbox_apis(tmp_path) as before:
        assert before.call("POST", "/kompar/webhooks/decisions", URL).status_code == 200
    with sandbox_apis(tmp_path) as after:
        assert after.call("DELETE", "/kompar/webhooks/decisions").status_code == 200
    with sandbox_apis(tmp_path) as later:
        assert later.call("DELETE", "/kompar/webhooks/decisions").status_code == 404
