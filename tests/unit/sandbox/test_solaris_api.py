"""Solaris' API answers as Solaris does, case by case."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from unittest.mock import ANY

import pytest

from app.sandbox.api.provider_api import BearerTokens
from tests.support.sandbox_process import SOLARIS_CLIENT, Sandbox, basic

TYPE = "INCOMING_REJECTED_TRANSACTION"
BASIC = {"Authorization": basic(*SOLARIS_CLIENT)}
GRANT = {"grant_type": "client_credentials", "scope": "partners"}
IN_FORM = GRANT | dict(zip(("client_id", "client_secret"), SOLARIS_CLIENT, strict=True))
GRANTED = {"access_token": ANY, "token_type": "Bearer", "expires_in": 3600, "scope": "partners"}
UNKNOWN_CLIENT = {"error": "invalid_client"}


@pytest.mark.parametrize(
    ("form", "headers", "status", "answer"),
    [
        (GRANT, BASIC, 200, GRANTED),
        (IN_FORM, {}, 200, GRANTED),
        ({"grant_type": "client_credentials"}, BASIC, 200, GRANTED),
        (GRANT, {}, 401, UNKNOWN_CLIENT),
        (GRANT, {"Authorization": basic("client", "wrong")}, 401, UNKNOWN_CLIENT),
        (IN_FORM | {"client_secret": "wrong"}, {}, 401, UNKNOWN_CLIENT),
        (IN_FORM, {"Authorization": basic("client", "wrong")}, 401, UNKNOWN_CLIENT),
        ({}, BASIC, 400, {"error": "unsupported_grant_type"}),
        (GRANT | {"grant_type": "password"}, BASIC, 400, {"error": "unsupported_grant_type"}),
        (GRANT | {"scope": "everything"}, BASIC, 400, {"error": "invalid_scope"}),
    ],
)
def test_token_request_is_answered_as_documented(
    sandbox: Sandbox, form: dict[str, str], headers: dict[str, str], status: int, answer: dict[str, Any]
) -> None:
    response = sandbox.client.post("/solaris/oauth2/token", data=form, headers=headers)
    assert (response.status_code, response.json) == (status, answer)


def error(status: int, code: str, title: str, detail: str) -> dict[str, Any]:
    return {"id": ANY, "status": str(status), "code": code, "title": title, "detail": detail}


def invalid(detail: str) -> dict[str, Any]:
    return error(400, "validation_error", "Bad Request", detail)


@dataclass(frozen=True)
class Case:
    """A request that is refused, and the answer; where headers are not given, a token is fetched and sent."""

    method: str
    path: str
    status: int
    answer: dict[str, Any]
    body: Any = None
    headers: dict[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status} {self.answer['detail']}"


ANYWHERE = {"event_type": TYPE, "url": "https://lender.example"}
NO_TYPE = invalid("event_type is missing or invalid")
UNAUTHORIZED = error(401, "unauthorized", "Unauthorized", "the bearer token is missing, wrong or expired")
NO_PAGE = invalid("page[number] is from 1, page[size] from 1 to 1000")
UNKNOWN = error(404, "model_not_found", "Model Not Found", "no webhook has the id 'unknown'")
CASES = [
    Case("POST", "", 400, NO_TYPE),
    Case("POST", "", 400, NO_TYPE, b"{"),
    Case("POST", "", 400, NO_TYPE, [ANYWHERE]),
    Case("POST", "", 400, NO_TYPE, {"url": "https://lender.example"}),
    Case("POST", "", 400, NO_TYPE, ANYWHERE | {"event_type": 1}),
    Case("POST", "", 400, NO_TYPE, ANYWHERE | {"event_type": "no event"}),
    Case("POST", "", 400, invalid("url is missing"), {"event_type": TYPE}),
    Case("POST", "", 400, invalid("url is not a string"), {"event_type": TYPE, "url": 1}),
    Case("POST", "", 400, invalid("url is not a valid URL"), {"event_type": TYPE, "url": "lender.example"}),
    Case("POST", "", 400, invalid("url is not HTTPS"), {"event_type": TYPE, "url": "http://lender.example"}),
    Case("GET", "?page[number]=0", 400, NO_PAGE),
    Case("GET", "?page[number]=one", 400, NO_PAGE),
    Case("GET", "?page[size]=-1", 400, NO_PAGE),
    Case("GET", "?page[size]=1001", 400, NO_PAGE),
    Case("GET", "/unknown", 404, UNKNOWN),
    Case("DELETE", "/unknown", 404, UNKNOWN),
    *(
        Case(method, path, 401, UNAUTHORIZED, ANYWHERE if method == "POST" else None, headers)
        for method, path in (("POST", ""), ("GET", ""), ("GET", "/unknown"), ("DELETE", "/unknown"))
        for headers in ({}, {"Authorization": "Bearer wrong"}, BASIC)
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_invalid_call_is_rejected_as_documented(sandbox: Sandbox, case: Case) -> None:
    answer = sandbox.call(case.method, f"/solaris/v1/webhooks{case.path}", case.body, case.headers)
    assert (answer.status_code, answer.json) == (case.status, case.answer)


def create(sandbox: Sandbox, url: str, event_type: str = TYPE) -> dict[str, Any]:
    answer = sandbox.call("POST", "/solaris/v1/webhooks", {"event_type": event_type, "url": url})
    assert answer.status_code == 201
    return dict(answer.json or {})


def test_create_shakes_hands_first_and_shows_the_secret_once(sandbox: Sandbox) -> None:
    with sandbox.receiver() as target:
        subscription = create(sandbox, f"{target.url}/solaris")
    (request,) = target.requests
    assert (request.path, request.body) == ("/solaris", b"")
    assert request.headers["Solaris-Webhook-Event-Type"] == "WEBHOOK-SUBSCRIPTION"
    assert "Solaris-Webhook-Signature" not in request.headers
    assert subscription == {"id": ANY, "event_type": TYPE, "url": f"{target.url}/solaris", "secret": ANY}
    assert len(subscription["secret"]) == 32
    shown = sandbox.call("GET", f"/solaris/v1/webhooks/{subscription['id']}")
    assert (shown.status_code, shown.json) == (200, subscription | {"secret": None})
    assert sandbox.call("GET", "/solaris/v1/webhooks").json == [subscription | {"secret": None}]


@pytest.mark.parametrize(
    ("status", "answer_text"), [(401, "answered 401"), (204, "answered 204"), (None, "gave no answer")]
)
def test_create_without_200_to_the_handshake_is_rejected(
    sandbox: Sandbox, status: int | None, answer_text: str
) -> None:
    with sandbox.receiver(lambda _: status) as target:
        answer = sandbox.call("POST", "/solaris/v1/webhooks", {"event_type": TYPE, "url": target.url})
    detail = f"url {answer_text} when it was tried; 200 is expected"
    expected = error(400, "webhook_url_not_available", "Bad Request", detail)
    assert (answer.status_code, answer.json) == (400, expected)
    assert sandbox.call("GET", "/solaris/v1/webhooks").json == []


def test_list_returns_pages(sandbox: Sandbox) -> None:
    with sandbox.receiver() as target:
        ids = [create(sandbox, target.url, f"TYPE_{number}")["id"] for number in range(12)]

    def page(query: str) -> list[str]:
        return [each["id"] for each in sandbox.call("GET", f"/solaris/v1/webhooks{query}").json or []]

    assert page("") == ids[:10]
    assert page("?page[number]=2") == ids[10:]
    assert page("?page[size]=5&page[number]=2") == ids[5:10]
    assert page("?page[size]=100") == ids
    assert page("?page[number]=3") == []


def test_delete_removes_one_subscription_of_an_event_type(sandbox: Sandbox) -> None:
    with sandbox.receiver() as target:
        first = create(sandbox, target.url)
        second = create(sandbox, target.url)
        answer = sandbox.call("DELETE", f"/solaris/v1/webhooks/{first['id']}")
        assert (answer.status_code, answer.json) == (200, first | {"secret": None})
        assert sandbox.call("DELETE", f"/solaris/v1/webhooks/{first['id']}").status_code == 404
    assert first["secret"] != second["secret"]
    assert [each["id"] for each in sandbox.call("GET", "/solaris/v1/webhooks").json or []] == [second["id"]]


def test_token_is_valid_for_an_hour_beside_a_later_one(sandbox: Sandbox) -> None:
    first = sandbox.bearer("/solaris")
    sandbox.clock.now += 3599
    second = sandbox.bearer("/solaris")
    assert sandbox.call("GET", "/solaris/v1/webhooks", headers=first).status_code == 200
    sandbox.clock.now += 1
    assert sandbox.call("GET", "/solaris/v1/webhooks", headers=first).status_code == 401
    assert sandbox.call("GET", "/solaris/v1/webhooks", headers=second).status_code == 200


def test_outage_answers_500_as_solaris_does(sandbox: Sandbox) -> None:
    assert sandbox.call("POST", "/solaris/sandbox/fail").json == {"calls": 1}
    answer = sandbox.client.post("/solaris/oauth2/token", data=GRANT, headers=BASIC)
    assert (answer.status_code, answer.json) == (
        500, error(500, "internal_server_error", "Internal Server Error", "on demand"),
    )  # fmt: skip
    assert sandbox.call("GET", "/solaris/v1/webhooks").status_code == 200


def test_tokens_granted_concurrently_are_all_valid() -> None:
    tokens = BearerTokens(lambda: 0.0, alone=False)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads interrupt each other as often as they can
    try:
        with ThreadPoolExecutor(8) as pool:
            granted = list(pool.map(lambda _: tokens.grant(), range(2000)))
    finally:
        sys.setswitchinterval(interval)
    assert {tokens.check(token) for token in granted} == {"valid"}
