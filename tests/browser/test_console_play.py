"""A day of an operator in the console: a key is missing, deliveries die, the key comes, they are replayed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import SECRETS, Running, running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

if TYPE_CHECKING:  # every test process imports this module, and one runs it
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.early
NATIONAL_ID = "19811218-9876"
APPLICATION = {"application_id": "play-1", "name": "Ada", "ssn": NATIONAL_ID, "amount": 5}
WITHOUT_KEY = SECRETS | {"KOMPAR_KEYS": f"newer={'n' * 32}"}


def add_user(kvitto: Running, name: str, role: str) -> str:
    """Add a user; return the password."""
    done = kvitto.run("users", "add", name, "--role", role, "--operator", "root")
    (password,) = re.findall(r"^password: (\S+)$", done.stdout, re.MULTILINE)
    return str(password)


def log_in(page: Page, kvitto: Running, name: str, password: str) -> None:
    page.goto(kvitto.console)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()


def search(page: Page, text: str) -> None:
    page.get_by_role("searchbox").fill(text)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", level=1).wait_for()


def await_text(page: Page, text: str) -> None:
    """Wait until a page that loads itself again shows a text; without scripts, load it."""

    def is_shown() -> bool:
        if page.get_by_role("link", name="Load again").is_visible():
            page.reload()
        return text in page.inner_text("main")

    eventually(is_shown, text)


def test_operator_replays_what_died_for_want_of_a_key(tmp_path: Path, browser: Browser) -> None:
    data = tmp_path / "data"
    with running(data, WITHOUT_KEY) as kvitto:
        receipts = [
            str(kvitto.post("applications", encrypt(APPLICATION | changed, KEY)).json()["receipt"])
            for changed in ({}, {"application_id": "play-2", "ssn": "19760101-0016"})
        ]
        receipts.append(str(kvitto.post("applications", b"no envelope").json()["receipt"]))
        assert {kvitto.outcome(receipt)["outcome"] for receipt in receipts} == {"dead"}
        users = {name: add_user(kvitto, name, role) for name, role in (("ada", "operator"), ("vera", "viewer"))}
        page = browser.new_page()
        log_in(page, kvitto, "ada", users["ada"])
        search(page, receipts[0])
        assert "no key of KOMPAR_KEYS opens it" in page.inner_text("main")  # why it died
        page.context.close()
    with running(data, SECRETS) as kvitto:  # with the key
        page = browser.new_page()
        log_in(page, kvitto, "ada", users["ada"])
        replay(page)
        find(page)
        discard(page, receipts[2])
        reveal(page, receipts[0])
        assert actions(page)[::-1] == [
            "login", "login", "dry-run", "job-requested", "replay", "replay", "search", "job-requested", "discard",
            "reveal",
        ]  # fmt: skip
        page.context.close()
        look_only(browser, kvitto, users["vera"], receipts[0])
        without_scripts(browser, kvitto, users["ada"])


def group(page: Page, reason: str) -> Any:
    page.get_by_role("link", name="Dead letters").first.click()
    return page.get_by_role("region", name=reason)


def replay(page: Page) -> None:
    """Rehearse, then replay a group, and watch it."""
    group(page, "2 × wrong-key").get_by_role("button", name="Dry run").click()
    await_text(page, "It would become: 2 stored")
    page.get_by_label("Why").fill("the key of September was missing")
    page.get_by_role("button", name="Replay all 2").click()
    await_text(page, "It became: 2 stored")
    assert "2 of 2" in page.inner_text("main")


def find(page: Page) -> None:
    """Find an application by its number and by a person's national id, which is no part of any address."""
    page.get_by_role("link", name="play-1").click()
    page.get_by_role("heading", name="play-1").wait_for()
    assert "revision 1" in page.inner_text("main")
    assert "19811218-****" in page.inner_text("main")
    search(page, "play-1")
    assert "1 delivery" in page.inner_text("main")
    search(page, NATIONAL_ID)
    assert "play-1" in page.inner_text("main")
    assert "play-2" not in page.inner_text("main")
    assert "9876" not in page.url + page.content()


def discard(page: Page, receipt: str) -> None:
    search(page, receipt)
    page.get_by_label("Why, for the access log").first.fill("not from Kompar")
    page.get_by_role("button", name="Discard this dead letter").click()
    await_text(page, "It became: 1 discarded")


def reveal(page: Page, receipt: str) -> None:
    search(page, receipt)
    region = page.get_by_role("region", name="Body in clear")
    region.get_by_label("Why").fill("complaint 4711")
    region.get_by_role("button", name="Reveal").click()
    page.get_by_role("heading", name="Body of").wait_for()
    assert NATIONAL_ID in page.inner_text("main")


def actions(page: Page) -> list[str]:
    """Return what the access log has of ada, newest first."""
    page.get_by_role("link", name="Access log").click()
    rows = page.get_by_role("row").filter(has_text="ada").all()
    found = [row.get_by_role("cell").nth(1).inner_text() for row in rows]
    return [each for each in found if each != "user-set"]


def look_only(browser: Browser, kvitto: Running, password: str, receipt: str) -> None:
    """A viewer sees no button that does anything, and no log."""
    page = browser.new_page()
    log_in(page, kvitto, "vera", password)
    for path in ("/dead-letters", "/jobs", f"/deliveries/{receipt}", "/deliveries"):
        page.goto(f"{kvitto.console}{path}")
        names = {each.inner_text() for each in page.get_by_role("button").all()}
        assert names <= {"Log out", "Search", "Live", "● Live", "Filter"}, path
    assert page.get_by_role("link", name="Access log").count() == 0
    page.goto(f"{kvitto.console}/log")
    assert "lacks the right" in page.inner_text("main")
    search(page, NATIONAL_ID)
    assert "lacks the right" in page.inner_text("main")
    page.context.close()


def without_scripts(browser: Browser, kvitto: Running, password: str) -> None:
    """Reading and replaying work without JavaScript."""
    receipt = str(kvitto.post("applications", b"no envelope either").json()["receipt"])
    kvitto.outcome(receipt)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        log_in(page, kvitto, "ada", password)
        search(page, receipt)
        page.get_by_label("Why, for the access log").first.fill("once more")
        page.get_by_role("button", name="Replay this dead letter").click()
        await_text(page, "It became: 1 stay dead")
