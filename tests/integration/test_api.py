"""Calls of a provider's API: retries where they are safe, errors with a hint and without secrets."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from app.errors import ProviderCallError
from app.providers.http_client import TIMEOUT_SECONDS, ProviderApi
from tests.support.fake_api import CUT_OFF, HANGS, Answer, FakeApi, fake_api
from tests.support.ports import free_port

FINE = Answer(200, {"fine": True})
SECRET = "a-secret-that-nobody-sees"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeApi]:
    with fake_api(tmp_path) as found:
        yield found


class Caller:
    """An API client and what it reported."""

    def __init__(self, url: str, authority: str, timeout_seconds: float = 20) -> None:
        self.reported: list[str] = []
        self._api = ProviderApi(
            "KOMPAR_API_URL",
            url,
            {"KOMPAR_API_PASSWORD": SECRET},
            self.reported.append,
            authority=authority,
            timeout_seconds=timeout_seconds,
        )

    def call(self, method: str = "GET", path: str = "/it", **request: Any) -> Any:
        try:
            return self._api.call(method, path, **request)
        finally:
            self._api.close()

    def failure(self, method: str = "GET") -> ProviderCallError:
        with pytest.raises(ProviderCallError) as caught:
            self.call(method)
        return caught.value


@pytest.fixture
def caller(server: FakeApi) -> Caller:
    return Caller(server.url, server.authority)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_call_after_429_waits_as_long_as_retry_after_says(server: FakeApi, caller: Caller, method: str) -> None:
    server.answers[f"{method} /it"] = [Answer(429, headers={"Retry-After": "1"}), FINE]
    assert caller.call(method) == {"fine": True}
    assert len(server.calls) == 2
    (text,) = caller.reported
    assert text.endswith("answers 429; next try in 1.0 s")


def test_call_after_429_accepts_a_date_in_retry_after(server: FakeApi, caller: Caller) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    server.answers["GET /it"] = [Answer(429, headers={"Retry-After": until}), FINE]
    assert caller.call() == {"fine": True}
    seconds = float(caller.reported[0].split()[-2])
    assert 1 < seconds <= 3


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_call_after_429_does_not_wait_an_hour(server: FakeApi, caller: Caller, as_date: bool) -> None:
    given = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True) if as_date else "3600"
    server.answers["GET /it"] = [Answer(429, headers={"Retry-After": given}), FINE]
    failed = caller.failure()
    assert (failed.reason, failed.status, caller.reported, len(server.calls)) == ("api-throttled", 429, [], 1)
    assert "try again in 3" in str(failed)


def test_call_after_5xx_is_retried_if_it_is_repeatable(server: FakeApi, caller: Caller) -> None:
    server.answers["DELETE /it"] = [Answer(500), Answer(503), FINE]
    assert caller.call("DELETE") == {"fine": True}
    assert [text.split()[-2] for text in caller.reported] == ["0.5", "1.0"]


def test_call_fails_after_four_attempts(server: FakeApi, caller: Caller) -> None:
    server.answers["GET /it"] = [Answer(500)]
    failed = caller.failure()
    assert (failed.reason, failed.undecided, len(server.calls)) == ("api-broken", False, 4)
    assert "the fault is the provider's" in str(failed)


@pytest.mark.parametrize("answer", [Answer(500), CUT_OFF, Answer(200, content=b"<html>")], ids=["500", "cut", "HTML"])
def test_call_that_may_have_succeeded_is_not_retried(server: FakeApi, caller: Caller, answer: Answer) -> None:
    server.answers["POST /it"] = [answer]
    failed = caller.failure("POST")
    assert (failed.undecided, len(server.calls), caller.reported) == (True, 1, [])
    assert "not known" in str(failed)


def test_call_without_an_answer_in_time_is_undecided(server: FakeApi) -> None:
    server.answers["POST /it"] = [HANGS]
    failed = Caller(server.url, server.authority, timeout_seconds=2).failure("POST")
    assert (failed.reason, failed.undecided, len(server.calls)) == ("api-silent", True, 1)
    assert "gave no answer (ReadTimeout)" in str(failed)


def test_call_of_a_silent_api_is_made_once(server: FakeApi) -> None:
    server.answers["GET /it"] = [HANGS]
    caller = Caller(server.url, server.authority, timeout_seconds=2)
    failed = caller.failure("GET")
    assert (failed.undecided, len(server.calls), caller.reported) == (False, 1, [])
    assert "does not answer (ReadTimeout)" in str(failed)


def test_time_out_covers_what_solaris_may_take() -> None:
    assert TIMEOUT_SECONDS > 150


def test_call_without_a_connection_is_retried(server: FakeApi) -> None:
    caller = Caller(f"https://127.0.0.1:{free_port()}", server.authority)
    failed = caller.failure("POST")
    assert (failed.reason, failed.undecided, len(caller.reported)) == ("api-silent", False, 3)
    assert "KOMPAR_API_URL" in str(failed)


def test_call_with_an_untrusted_certificate_fails_at_once_and_sends_nothing(server: FakeApi) -> None:
    caller = Caller(server.url, "")
    failed = caller.failure()
    assert (failed.reason, caller.reported, server.calls) == ("api-not-trusted", [], [])
    assert "CA_FILE" in str(failed)


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (Answer(400, {"success": False, "message": "Please use valid url."}), "api-refused", "valid url. Correct"),
        (Answer(404, {"success": False, "message": "nothing"}), "api-refused", "answers 404: nothing"),
        (Answer(401, {"title": "Unauthorized", "detail": "expired"}), "api-unauthorized", "KOMPAR_API_PASSWORD."),
        (Answer(401, {"errors": [{"title": "No", "detail": "in a list"}]}), "api-unauthorized", "401: in a list"),
        (Answer(403, content=b"<html>no</html>"), "api-refused", "answers 403. Correct"),
        (Answer(404, ["odd"]), "api-refused", "answers 404. Correct"),
        (Answer(302, headers={"Location": "/it"}), "api-elsewhere", "KOMPAR_API_URL, which leads elsewhere"),
        (Answer(200, content=b"<html>"), "api-elsewhere", "no JSON"),
        (Answer(400, {"message": "x" * 1000}), "api-refused", "xxx…"),
        (Answer(400, {"message": "\x1b[31mred\nnext"}), "api-refused", ": [31mred next."),
    ],
)  # fmt: skip
def test_call_that_is_refused_raises_an_error_with_a_hint(
    server: FakeApi, caller: Caller, answer: Answer, reason: str, words: str
) -> None:
    server.answers["GET /it"] = [answer]
    failed = caller.failure()
    assert (failed.reason, len(server.calls)) == (reason, 1)
    assert words in str(failed)
    assert len(str(failed)) < 350
    assert "\x1b" not in str(failed)


@pytest.mark.parametrize("status", [400, 401, 429])
def test_error_does_not_repeat_a_secret_of_the_answer(server: FakeApi, caller: Caller, status: int) -> None:
    answer = Answer(status, {"message": f"wrong: {SECRET}!"}, headers={"Retry-After": "999"})
    server.answers["GET /it"] = [answer]
    failed = caller.failure()
    assert "wrong: ***!" in str(failed)
    assert SECRET not in repr(failed)
