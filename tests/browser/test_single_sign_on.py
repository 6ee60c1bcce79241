"""Sign-in by OpenID Connect in a real browser: to a provider on another site, and back."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.browser.test_console_play import add_user, await_text, search
from tests.support.kvitto_process import Running, command
from tests.support.oidc_provider import CLIENT_SECRET, Provider, provider
from tests.support.servers import bare_environment, eventually

if TYPE_CHECKING:  # every test process imports this module, and one runs it
    from playwright.sync_api import Browser, BrowserContext, Page


@dataclass(frozen=True, slots=True)
class Console:
    """A running console, and the file with its log."""

    url: str
    log: Path


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("provider")) as found:
        yield found


@pytest.fixture(scope="module")
def console(issuer: Provider, kvitto: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A second console of the shared Kvitto, which leads to the provider."""
    log = tmp_path_factory.mktemp("console") / "console.log"
    settings = {"METRICS_BIND": "", "CONSOLE_BIND": issuer.console.removeprefix("http://")}
    environment = bare_environment() | kvitto.environment | issuer.settings | settings
    with log.open("ab") as errors, subprocess.Popen(command("console"), env=environment, stderr=errors) as process:
        try:
            eventually(lambda: is_up(issuer.console), "a console", log=log)
            yield Console(issuer.console, log)
        finally:
            process.terminate()


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def dead_letter(kvitto: Running) -> str:
    receipt = str(kvitto.post("applications", b"no envelope").json()["receipt"])
    assert kvitto.outcome(receipt)["outcome"] == "dead"
    return receipt


@pytest.fixture(params=[True, False], ids=["scripts", "no scripts"])
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A browser that takes the provider's certificate as it is."""
    with browser.new_context(ignore_https_errors=True, java_script_enabled=request.param) as found:
        yield found


def sign_in(page: Page, name: str, groups: str, fault: str = "") -> None:
    """Begin at the console's form, and identify at the provider."""
    page.get_by_role("link", name="Sign in at localhost").click()
    page.get_by_role("heading", name="Provider").wait_for()
    page.get_by_label("Account").fill(name)
    page.get_by_label("Groups").fill(groups)
    page.get_by_label("Fault").fill(fault)
    page.get_by_role("button", name="Continue").click()


def test_operator_signs_in_replays_and_is_in_the_access_log(
    context: BrowserContext, console: Console, dead_letter: str
) -> None:
    page = context.new_page()
    page.goto(f"{console.url}/deliveries/{dead_letter}")
    sign_in(page, "ada@lender.example", "ops")
    page.wait_for_url(f"{console.url}/deliveries/{dead_letter}")  # where the person wanted to go
    page.get_by_label("Why, for the access log").first.fill("once more")
    page.get_by_role("button", name="Replay this dead letter").click()
    await_text(page, "It became: 1 stay dead")
    page.get_by_role("link", name="Access log").click()
    rows = page.get_by_role("row").filter(has_text="ada@lender.example").all()
    actions = [row.get_by_role("cell").nth(1).inner_text() for row in rows]
    assert actions[:3] == ["replay", "job-requested", "login"]
    assert "sub-ada@lender.example" in page.inner_text("main")
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("link", name="Sign in at localhost").wait_for()
    page.goto(f"{console.url}/log")
    page.get_by_role("link", name="Sign in at localhost").wait_for()


def test_viewer_signs_in_and_may_not_replay(context: BrowserContext, console: Console, dead_letter: str) -> None:
    page = context.new_page()
    page.goto(console.url)
    sign_in(page, "vera", "support")
    page.get_by_role("button", name="Log out").wait_for()
    search(page, dead_letter)
    assert page.get_by_role("button", name="Replay").count() == 0
    page.goto(f"{console.url}/log")
    assert "lacks the right" in page.inner_text("main")


@pytest.mark.parametrize("context", [True], indirect=True)
def test_what_is_wrong_is_refused_in_plain_words_and_no_secret_is_logged(
    context: BrowserContext, console: Console, kvitto: Running
) -> None:
    page, violations = context.new_page(), []
    page.on("console", lambda message: violations.append(message.text))
    codes: list[str] = []
    page.on("request", lambda request: codes.extend(re.findall(r"[?&]code=([^&]+)", request.url)))
    for fault, groups, says in (
        ("signature", "ops", "its signature is not by a key of the identity provider"),
        ("audience", "ops", "its claim aud is missing or wrong"),
        ("expired", "ops", "it has expired"),
        ("nonce", "ops", "its claim nonce is missing or wrong"),
        ("", "others", "You are signed in at the identity provider, and have no role in this console"),
        ("denied", "ops", "The identity provider does not let you in"),
    ):
        page.goto(console.url)
        sign_in(page, "mallory", groups, fault)
        page.get_by_role("alert").filter(has_text=says).wait_for()
        assert "kvitto_session" not in {cookie["name"] for cookie in context.cookies()}, fault
    assert [text for text in violations if "Content Security Policy" in text] == []
    log = console.log.read_text()
    assert log.count("sign_in_failed") == 6
    assert len(codes) >= 5
    assert [secret for secret in (*codes, CLIENT_SECRET, "eyJ", "code=") if secret in log] == []
    assert "mallory" not in {row["operator"] for row in kvitto.rows("SELECT operator FROM reporting.access_log")}


@pytest.mark.parametrize("context", [True], indirect=True)
def test_a_password_opens_the_console_beside_the_provider(
    context: BrowserContext, console: Console, kvitto: Running
) -> None:
    page = context.new_page()
    page.goto(console.url)
    password = add_user(kvitto, "break-glass", "operator")
    page.reload()
    page.get_by_label("User name").fill("break-glass")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()
    kvitto.run("users", "remove", "break-glass", "--operator", "root")
