"""Sign-in by OpenID Connect, without a browser: what the console asks a real provider, and what it refuses."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.console.access import COOKIE
from app.console.app import create_app
from app.storage.connection import Connection
from app.tls import trusting
from config.settings import ConsoleSettings
from tests.support.console_client import as_console, begin_session
from tests.support.kvitto_process import run
from tests.support.metrics import NO_REDIS
from tests.support.oidc_provider import Provider, provider


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("provider")) as found:
        yield found


@dataclass(frozen=True, slots=True)
class Browser:
    """Goes from the console to the provider and back, with the console's cookies."""

    console: FlaskClient
    issuer: Provider

    def begin(self, then: str = "/") -> str:
        """Return the address at the provider that the console leads to."""
        answer = self.console.get("/login/oidc", query_string={"then": then})
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def identify(self, address: str, name: str, groups: str, fault: str = "") -> str:
        """Fill in the provider's page; return the path and query of the way back."""
        with httpx.Client(verify=trusting(self.issuer.authority)) as client:
            assert client.get(address).status_code == 200
            answer = client.post(address, data={"name": name, "groups": groups, "fault": fault})
        back = answer.headers["Location"]
        assert back.startswith(f"{self.issuer.console}/login/oidc/callback?"), back
        return str(back.removeprefix(self.issuer.console))

    def sign_in(self, name: str, groups: str, fault: str = "", then: str = "/") -> TestResponse:
        """Go all the way; return the console's answer."""
        return self.console.get(self.identify(self.begin(then), name, groups, fault))


def console(database: str, issuer: Provider, **changed: str) -> FlaskClient:
    given = {"DATABASE_URL": as_console(database), "REDIS_URL": NO_REDIS, "CONSOLE_PASSWORD": "secret"}
    settings = ConsoleSettings.load(given | issuer.settings | changed)
    return create_app(lambda: settings).test_client()


@pytest.fixture
def browser(database: str, issuer: Provider) -> Browser:
    return Browser(console(database, issuer), issuer)


def problem(answer: TestResponse) -> str:
    """Return what a refusal says, which begins no session."""
    assert COOKIE not in answer.headers.get("Set-Cookie", "")
    (found,) = re.findall(r'<p class="wrong" role="alert">(.*?)</p>', answer.text)
    return str(found)


def test_a_person_signs_in_and_out_and_the_log_has_it(browser: Browser, connection: Connection) -> None:
    answer = browser.sign_in("ada@lender.example", "others ops", then="/deliveries?topic=applications")
    assert answer.status_code == 200
    assert 'content="0; url=/deliveries?topic=applications"' in answer.text
    kept, ended = sorted(answer.headers.getlist("Set-Cookie"))
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} == set(kept.split("; ")[1:])
    assert {"Max-Age=0", "SameSite=Lax", "Path=/login/oidc/callback"} <= set(ended.split("; "))
    page = browser.console.get("/").text
    assert "ada@lender.example <small>operator</small>" in page
    (token,) = set(re.findall(r'name="token" value="(\w+)"', page))
    browser.console.post("/logout", data={"token": token}, headers={"Sec-Fetch-Site": "same-origin"})
    assert browser.console.get("/").status_code == 303
    logged = connection.execute("SELECT action, operator, subject FROM access_log ORDER BY number").fetchall()
    assert [tuple(row) for row in logged] == [
        ("login", "ada@lender.example", "sub-ada@lender.example"), ("logout", "ada@lender.example", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "role"),
    [("ops", "operator"), ("support", "viewer"), ("dpo", "privacy"), ("support dpo ops", "operator")],
)
def test_the_first_group_that_is_listed_gives_the_role(browser: Browser, groups: str, role: str) -> None:
    assert browser.sign_in("ada", groups).status_code == 200
    assert f"ada <small>{role}</small>" in browser.console.get("/").text


def test_groups_that_the_token_lacks_are_asked_for(browser: Browser) -> None:
    assert browser.sign_in("ada", "support", "groups elsewhere").status_code == 200


def test_a_secret_in_the_form_is_sent_where_the_provider_wants_it(database: str, tmp_path: Path) -> None:
    with provider(tmp_path, "client_secret_post") as found:
        assert Browser(console(database, found), found).sign_in("ada", "ops").status_code == 200


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("signature", "its signature is not by a key of the identity provider"),
        ("unsigned", "its signature is not by a key of the identity provider"),
        ("secret", "its signature is not by a key of the identity provider"),
        ("audience", "its claim aud is missing or wrong"),
        ("second audience", "its claim azp is missing or wrong"),
        ("issuer", "its claim iss is missing or wrong"),
        ("expired", "it has expired"),
        ("nonce", "its claim nonce is missing or wrong"),
        ("no nonce", "its claim nonce is missing or wrong"),
        ("hash", "its claim at_hash is missing or wrong"),
    ],
)
def test_a_token_that_is_wrong_is_refused(browser: Browser, fault: str, says: str) -> None:
    answer = browser.sign_in("ada", "ops", fault)
    assert answer.status_code == 403
    assert says in problem(answer)
    assert browser.console.get("/").status_code == 303


@pytest.mark.parametrize(
    ("name", "groups", "fault", "status", "says"),
    [
        ("ada", "", "", 403, "have no role in this console"),
        ("ada", "OPS operator", "", 403, "have no role in this console"),
        ("", "ops", "", 403, "the claim preferred_username is empty"),
        ("19811218-9876", "ops", "", 403, "the claim preferred_username holds a national id"),
        ("a" * 65, "ops", "", 403, "is longer than 64 characters"),
        ("ada", "ops", "denied", 403, "The identity provider does not let you in"),
        ("ada", "ops", "code", 503, "does not give a token (invalid_grant)"),
    ],
)
def test_a_person_who_may_not_sign_in_reads_why(  # noqa: PLR0917
    browser: Browser, name: str, groups: str, fault: str, status: int, says: str
) -> None:
    answer = browser.sign_in(name, groups, fault)
    assert answer.status_code == status
    assert says in problem(answer)
    assert "9876" not in answer.text


def test_a_name_of_a_user_with_a_password_is_refused(database: str, browser: Browser) -> None:
    name = begin_session(database, "viewer").user.name
    assert "A user with a password has your name" in problem(browser.sign_in(name, "ops"))


def test_a_national_id_in_the_subject_is_masked_in_the_log(browser: Browser, connection: Connection) -> None:
    with_number = "ada 811218-9876"
    assert "holds a national id" in problem(browser.sign_in(with_number, "ops"))
    assert connection.execute("SELECT FROM access_log").rowcount == 0


def test_an_answer_for_another_browser_is_refused(database: str, browser: Browser, issuer: Provider) -> None:
    back = browser.identify(browser.begin(), "mallory", "ops")
    without = console(database, issuer)
    assert "has no sign-in under way" in problem(without.get(back))
    without.get("/login/oidc")
    assert "for another sign-in" in problem(without.get(back))


def test_an_answer_counts_once(browser: Browser) -> None:
    back = browser.identify(browser.begin(), "ada", "ops")
    assert browser.console.get(back).status_code == 200
    assert "has no sign-in under way" in problem(browser.console.get(back))


def test_each_sign_in_has_its_own_state_nonce_and_challenge(browser: Browser) -> None:
    queries = [parse_qs(urlsplit(browser.begin()).query) for _ in range(2)]
    for query in queries:
        assert query["tenant"] == ["1"]  # what the provider's own address holds
        assert (query["response_type"], query["code_challenge_method"]) == (["code"], ["S256"])
    for name in ("state", "nonce", "code_challenge"):
        assert queries[0][name] != queries[1][name]


def test_a_sign_in_leads_to_no_other_site(browser: Browser) -> None:
    for then in ("https://elsewhere.test", "//elsewhere.test", "/\\elsewhere.test"):
        assert 'content="0; url=/"' in browser.sign_in("ada", "ops", then=then).text


def test_the_form_for_passwords_is_there_while_somebody_has_one(database: str, browser: Browser) -> None:
    page = browser.console.get("/login?then=/jobs").text
    assert f'href="{browser.issuer.console}/login/oidc?then=%2Fjobs"' in page
    assert 'name="password"' not in page
    begin_session(database, "operator")
    assert 'name="password"' in browser.console.get("/login").text


def test_a_person_who_is_removed_is_out_at_once(database: str, browser: Browser) -> None:
    browser.sign_in("ada", "support")
    listed = run("users", "list", "--json", environment={"DATABASE_URL": database}).stdout
    assert ('"ada"' in listed, '"viewer"' in listed) == (True, True)
    removed = run("users", "remove", "ada", "--operator", "root", environment={"DATABASE_URL": database})
    assert removed.returncode == 0, removed.stderr
    assert browser.console.get("/").status_code == 303


def test_a_provider_that_is_away_is_a_page_and_the_form_stays(database: str, issuer: Provider) -> None:
    begin_session(database, "operator")
    away = console(database, issuer, OIDC_ISSUER="https://localhost:1")
    answer = away.get("/login/oidc")
    assert answer.status_code == 503
    assert "The identity provider does not answer" in problem(answer)
    assert 'name="password"' in answer.text


@pytest.mark.parametrize(
    ("changed", "level", "says"),
    [
        ({}, "ok", "answers, and accepts this client"),
        ({"OIDC_CLIENT_SECRET": "another"}, "fault", "does not give a token (invalid_client)"),
        ({"OIDC_ISSUER": "https://localhost:1"}, "fault", "does not answer"),
        ({"OIDC_ISSUER": "{issuer}/"}, "fault", "names {issuer} as its issuer"),
        ({"OIDC_ISSUER": "{issuer}/nothing"}, "fault", "answers 404 at /nothing/.well-known/openid-configuration"),
        ({"CA_FILE": ""}, "fault", "certificate of the identity provider is not trusted"),
        ({"SSL_CERT_FILE": "/nowhere"}, "fault", "SSL_CERT_FILE cannot be used (FileNotFoundError)"),
    ],
)
def test_check_asks_the_provider_as_the_console_does(
    database: str, issuer: Provider, changed: dict[str, str], level: str, says: str
) -> None:
    changed = {name: value.format(issuer=issuer.issuer) for name, value in changed.items()}
    given = {"DATABASE_URL": as_console(database), "REDIS_URL": NO_REDIS, "CONSOLE_PASSWORD": "a-password-of-machines"}
    done = run("check", "console", "--json", environment=given | issuer.settings | changed)
    (found,) = [each for each in json.loads(done.stdout) if each["name"] == "identity provider"]
    assert found["level"] == level
    assert says.format(issuer=issuer.issuer) in found["message"]
