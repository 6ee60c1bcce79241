"""Who gets in to the console, and what each role may do there: every route is tried."""

import re
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from app.console import access
from app.console.access import COOKIE, RIGHTS
from app.console.app import create_app
from app.storage.connection import Connection
from config.console_roles import ROLES, Role
from tests.support.console_client import as_console, log_in
from tests.support.kvitto_process import run
from tests.support.metrics import console_settings

NOWHERE = "postgresql://kvitto@127.0.0.1:1/kvitto"
STATIC = Path(access.__file__).with_name("static")


def console(database: str) -> Flask:
    return create_app(lambda: console_settings(database))


RULES = [rule for rule in console(NOWHERE).url_map.iter_rules() if rule.endpoint != "static"]
NEEDS = console(NOWHERE).extensions["needs"]
GUARDED = [rule for rule in RULES if NEEDS[rule.endpoint] not in ("open", "machine")]
ACTIONS = [rule for rule in RULES if "POST" in (rule.methods or ())]


def method(rule: Rule) -> str:
    return "POST" if "POST" in (rule.methods or ()) else "GET"


def path(rule: Rule) -> str:
    """Return a path of a rule: about a delivery that is not there, where it names one."""
    return re.sub(r"<(?:\w+:)?\w+>", "01935b3e-7a60-7c3f-8d0a-0123456789ab", rule.rule)


def name(rule: Rule) -> str:
    return f"{method(rule)} {rule.rule}"


def test_every_route_names_what_it_needs() -> None:
    assert {rule.endpoint for rule in RULES} == set(NEEDS)
    assert {need for need in NEEDS.values() if need not in ("open", "machine")} <= RIGHTS["operator"]
    assert {name(rule) for rule in RULES if NEEDS[rule.endpoint] == "open"} == {
        "GET /livez", "GET /readyz", "GET /login", "POST /login",
    }  # fmt: skip


def test_a_route_without_a_session_leads_to_the_login(database: str) -> None:
    client = console(database).test_client()
    for cookie, headers in (("", {}), ("", {"Authorization": "Basic YW55OnNlY3JldA=="}), ("guessed", {})):
        client.set_cookie(COOKIE, cookie)
        for rule in GUARDED:
            answer = client.open(path(rule), method=method(rule), headers=headers)
            assert (answer.status_code, answer.headers["Location"][:7]) == (303, "/login?"), name(rule)


@pytest.mark.parametrize("role", ROLES)
def test_a_route_is_refused_to_roles_without_its_right(database: str, role: Role) -> None:
    person = log_in(database, role)
    for rule in sorted(GUARDED, key=lambda rule: rule.endpoint == "pages.log_out"):
        answer = person.post(path(rule)) if method(rule) == "POST" else person.client.get(path(rule))
        assert ("lacks the right" in answer.text) == (NEEDS[rule.endpoint] not in RIGHTS[role]), name(rule)
        assert answer.status_code != 500, name(rule)


def test_a_form_of_another_site_is_refused(database: str) -> None:
    person = log_in(database)
    form = {"token": person.session.form_token}
    for rule in ACTIONS:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "https://other.test"}):
            answer = person.client.post(path(rule), data=form, headers=headers)
            assert (answer.status_code, "another site" in answer.text) == (403, True), name(rule)


def test_a_form_without_the_token_of_the_session_is_refused(database: str) -> None:
    person, other = log_in(database), log_in(database, "viewer")
    for rule in (rule for rule in ACTIONS if rule.rule != "/login"):
        for token in ("", "guessed", "å", other.session.form_token):
            answer = person.client.post(path(rule), data={"token": token}, headers={"Sec-Fetch-Site": "same-origin"})
            assert (answer.status_code, "not from a page of your session" in answer.text) == (403, True), name(rule)


def add_user(database: str, role: str = "operator") -> None:
    arguments = ("users", "add", "ada", "--role", role, "--operator", "root")
    done = run(*arguments, environment={"DATABASE_URL": database})
    assert done.returncode == 0, done.stderr
    (made,) = re.findall(r"^password: (\S+)$", done.stdout, re.MULTILINE)
    assert password_of_ada(database) != made


def password_of_ada(database: str) -> str:
    arguments = ("users", "password", "ada", "--operator", "root")
    done = run(*arguments, environment={"DATABASE_URL": database})
    (made,) = re.findall(r"^password: (\S+)$", done.stdout, re.MULTILINE)
    return str(made)


def send_login(client: FlaskClient, password: str, user: str = "ada", **headers: str) -> tuple[int, str]:
    """Send the form; return the status, and the cookie that came."""
    form = {"name": user, "password": password, "then": "/deliveries?topic=applications"}
    answer = client.post("/login", data=form, headers={"Sec-Fetch-Site": "same-origin", **headers})
    return answer.status_code, answer.headers.get("Set-Cookie", "")


def test_a_user_logs_in_and_out_and_the_log_has_it(database: str, connection: Connection) -> None:
    add_user(database)
    client = console(as_console(database)).test_client()
    assert send_login(client, "wrong") == (403, "")
    status, cookie = send_login(client, password_of_ada(database))
    assert status == 303
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} == set(cookie.split("; ")[1:])
    page = client.get("/").text
    assert "operator" in page
    (token,) = set(re.findall(r'name="token" value="(\w+)"', page))
    kept = client.get_cookie(COOKIE)
    answer = client.post("/logout", data={"token": token}, headers={"Origin": "http://localhost"})
    assert answer.headers["Location"] == "/login"
    assert kept is not None
    client.set_cookie(COOKIE, kept.value)  # a copy of the cookie is worth nothing
    assert client.get("/").status_code == 303
    logged = connection.execute("SELECT action, operator, subject FROM access_log ORDER BY number").fetchall()
    assert [row[:2] for row in logged] == [
        ("user-set", "root"), ("user-set", "root"), ("user-set", "root"), ("login", "ada"), ("logout", "ada"),
    ]  # fmt: skip
    assert logged[0].subject == "ada, operator"


def test_the_cookie_is_sent_over_tls_only_where_the_console_is_reached_by_tls(database: str) -> None:
    add_user(database)
    password = password_of_ada(database)
    _, cookie = send_login(console(database).test_client(), password, **{"X-Forwarded-Proto": "https"})
    assert "Secure" in cookie.split("; ")


def test_who_guesses_passwords_has_to_wait_and_the_log_says_for_whom_and_how_long(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    add_user(database)
    right, client = password_of_ada(database), console(database).test_client()
    assert [send_login(client, "wrong")[0] for _ in range(6)] == [403] * 5 + [429]
    assert send_login(client, right)[0] == 429
    assert [record.message for record in caplog.records] == ["login_failed"] * 5 + ["login_throttled"] * 2
    assert {(vars(each)["user"], vars(each)["client"]) for each in caplog.records} == {("ada", "127.0.0.1")}
    assert vars(caplog.records[-1])["wait_seconds"] in {1, 2}
    assert "wrong" not in str([vars(each) for each in caplog.records])


def test_name_that_nobody_has_is_not_logged(database: str, caplog: pytest.LogCaptureFixture) -> None:
    add_user(database)
    form = {"name": "a-password-in-the-wrong-field", "password": "x"}
    assert console(database).test_client().post("/login", data=form).status_code == 403
    (record,) = caplog.records
    assert (record.message, vars(record)["user"]) == ("login_failed", None)


@pytest.mark.parametrize(("column", "age"), [("seen_at", timedelta(minutes=31)), ("started_at", timedelta(hours=13))])
def test_a_session_ends_when_it_is_idle_or_old(
    database: str, connection: Connection, column: str, age: timedelta
) -> None:
    person = log_in(database)
    assert person.client.get("/").status_code == 200
    connection.execute(f"UPDATE console_sessions SET {column} = {column} - %s".encode(), [age])
    assert person.client.get("/").status_code == 303


def test_a_page_that_reloads_itself_does_not_keep_its_session_alive(database: str, connection: Connection) -> None:
    person = log_in(database)
    connection.execute("UPDATE console_sessions SET seen_at = seen_at - interval '20 min'")
    idle = "SELECT clock_timestamp() - seen_at > interval '10 min' AS idle FROM console_sessions"
    for headers, is_idle in (({"HX-Request": "true"}, True), ({}, False)):
        assert person.client.get("/", headers=headers).status_code == 200
        assert [row.idle for row in connection.execute(idle)] == [is_idle]


def test_a_page_that_reloads_itself_after_the_session_leads_to_the_login(database: str) -> None:
    answer = console(database).test_client().get("/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Refresh"]) == (401, "true")


def test_a_removed_user_is_out_at_once(database: str) -> None:
    person = log_in(database)
    arguments = ("users", "remove", person.session.user.name, "--operator", "root")
    assert run(*arguments, environment={"DATABASE_URL": database}).returncode == 0
    assert person.client.get("/").status_code == 303


def test_users_are_listed_without_their_passwords(database: str) -> None:
    add_user(database, "viewer")
    done = run("users", "list", environment={"DATABASE_URL": database})
    assert [word for word in ("ada", "viewer") if word not in done.stdout] == []
    assert "scrypt" not in run("users", "list", "--json", environment={"DATABASE_URL": database}).stdout


def test_a_login_leads_to_no_other_site(database: str) -> None:
    add_user(database)
    form = {"name": "ada", "password": password_of_ada(database)}
    for then in ("https://elsewhere.test", "//elsewhere.test", "/\\elsewhere.test"):
        answer = console(database).test_client().post("/login", data=form | {"then": then})
        assert answer.headers["Location"] == "/"


def test_metrics_are_for_machines_and_for_users(database: str) -> None:
    client = console(database).test_client()
    for given in (None, ("any", ""), ("secret", "any")):
        assert client.get("/metrics", auth=given).status_code == 401
    assert "kvitto_ledger_readable 1" in client.get("/metrics", auth=("any", "secret")).text
    assert "kvitto_ledger_readable 1" in log_in(database, "viewer").get("/metrics")


def test_files_of_others_are_those_that_are_named() -> None:
    named = re.findall(r"`(\S+)` is .*?SHA-256 `(\w{64})`", (STATIC / "README.md").read_text(), re.DOTALL)
    assert len(named) == len(list(STATIC.glob("*.min.*")))
    assert [sha256((STATIC / file).read_bytes()).hexdigest() for file, _ in named] == [digest for _, digest in named]
