"""The console in a real browser, on wide and narrow screens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from app.sandbox.kompar import encrypt
from config.console_roles import ROLES
from tests.support.kvitto_process import Running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

if TYPE_CHECKING:  # every test process imports this module, and one runs it
    from playwright.sync_api import Browser, Page

_AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
PAGES = ("/login", *(f"/{name}" for name in (
    "", "deliveries", "dead-letters", "jobs", "rejected", "providers", "audits", "drift", "feed", "log",
)))  # fmt: skip
_NARROW = {"width": 390, "height": 844}
# The lowest contrast (WCAG 2) of any text with the colour behind it.
_LOWEST_CONTRAST = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => parts(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const opaque = colour => (parts(colour)[3] ?? 1) === 1;
  const behind = element => {
    while (!opaque(getComputedStyle(element).backgroundColor)) element = element.parentElement;
    return getComputedStyle(element).backgroundColor;
  };
  const texts = [...document.body.querySelectorAll("*")]
    .filter(each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  return Math.min(...texts.map(each => {
    const [a, b] = [light(getComputedStyle(each).color), light(behind(each))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }));
}"""


@pytest.fixture(scope="module")
def dead_letter(kvitto: Running) -> str:
    """Deliver an application with a national id, and something that becomes a dead letter; return its receipt."""
    application = {"application_id": "seen-in-a-browser", "ssn": "19811218-9876", "company_id": "8112189876"}
    receipt = str(kvitto.post("applications", encrypt(application, KEY)).json()["receipt"])
    assert kvitto.outcome(receipt)["outcome"] in ("stored", "duplicate")  # made again when this process comes back
    receipt = str(kvitto.post("applications", b"no JSON").json()["receipt"])
    assert kvitto.outcome(receipt)["outcome"] == "dead"
    swept = "SELECT FROM reporting.freshness WHERE provider = 'kompar'"
    eventually(lambda: len(kvitto.rows(swept)) == 1, "a sweep")
    return receipt


@pytest.fixture(scope="module")
def cookies(browser: Browser, kvitto: Running, dead_letter: str) -> dict[str, Any]:  # noqa: ARG001
    """The cookies of a browser in which an operator has logged in with the form; by role."""
    found: dict[str, Any] = {}
    for role in ROLES:
        done = kvitto.run("users", "add", f"{role}-seen", "--role", role, "--operator", "root")
        (password,) = re.findall(r"^password: (\S+)$", done.stdout, re.MULTILINE)
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(kvitto.console)
            page.get_by_label("User name").fill(f"{role}-seen")
            page.get_by_label("Password").fill(password)
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("button", name="Log out").wait_for()
            found[role] = context.cookies()
    return found


@pytest.fixture
def opened(
    browser: Browser, kvitto: Running, cookies: dict[str, Any], request: pytest.FixtureRequest
) -> Iterator[Page]:
    """The first page, as an operator sees it; a test's parameter holds options of the browser's, and a role."""
    options: dict[str, Any] = dict(getattr(request, "param", {}))
    role = options.pop("role", "operator")
    with browser.new_context(**options) as context:
        context.add_cookies(cookies[role])
        page = context.new_page()
        page.goto(kvitto.console)
        yield page


def test_page_asks_who_it_is(browser: Browser, kvitto: Running) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{kvitto.console}/?topic=x")
        page.get_by_label("User name").fill("nobody")
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        assert page.get_by_role("alert").inner_text() == "User name or password is wrong."
        assert "%3Ftopic%3Dx" in page.url or page.locator("[name=then]").get_attribute("value") == "/?topic=x"


def test_page_shows_the_state_of_every_provider(opened: Page) -> None:
    assert "something is wrong" in opened.title()
    assert "kompar: " in opened.inner_text("[role=status]")
    assert "kvitto dead-letters replay" in opened.inner_text("[role=status]")
    provider = opened.get_by_role("region", name="kompar", exact=False).first.inner_text()
    assert "up to date" in provider
    assert " s ago" in provider
    assert "highest minute" in provider
    assert "applications" in opened.get_by_role("region", name="Open dead letters").first.inner_text()
    assert opened.locator("time").first.get_attribute("datetime")


def test_page_loads_nothing_from_other_servers_and_logs_nothing(
    browser: Browser, kvitto: Running, dead_letter: str, cookies: dict[str, Any]
) -> None:
    messages: list[str] = []
    urls: set[str] = set()
    with browser.new_context() as context:
        context.add_cookies(cookies["operator"])
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: urls.add(request.url))
        page.goto(f"{kvitto.console}/deliveries")
        assert dead_letter in page.content()
        assert not [ssn for ssn in ("19811218-9876", "198112189876", "8112189876") if ssn in page.content()]
    assert messages == []
    assert {urlsplit(url).netloc for url in urls if not url.startswith("data:")} == {urlsplit(kvitto.console).netloc}
    assert any(url.endswith("/static/style.css") for url in urls)


def test_page_does_not_run_an_injected_script(opened: Page) -> None:
    opened.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.run = 1'}))")
    assert opened.evaluate("window.run") is None


@pytest.mark.parametrize("opened", [{"viewport": _NARROW}], indirect=True)
def test_pages_on_a_narrow_screen_show_their_lists_without_scrolling_sideways(
    opened: Page, kvitto: Running, dead_letter: str
) -> None:
    for path in (*PAGES, f"/deliveries/{dead_letter}", "/entities/kompar/seen-in-a-browser"):
        opened.goto(f"{kvitto.console}{path}")
        assert opened.evaluate("document.documentElement.scrollWidth") == _NARROW["width"], path
        lists = opened.locator(".scroll:has(.list)")
        assert lists.evaluate_all("all => all.filter(each => each.scrollWidth > each.clientWidth).length") == 0, path
    opened.goto(f"{kvitto.console}/deliveries?outcome=dead")
    row = opened.locator(".list tbody tr").first
    assert {"dead", "applications", "kompar"} <= set(row.inner_text().split())


@pytest.mark.parametrize(
    ("opened", "is_dark"),
    [({"color_scheme": "dark"}, True), ({"color_scheme": "light"}, False)],
    indirect=["opened"],
    ids=["dark", "light"],
)
def test_page_follows_the_systems_colours_with_contrast(opened: Page, is_dark: bool) -> None:
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    brightest = max(int(part) for part in ground[4:-1].split(","))
    assert (brightest < 64) == is_dark
    assert opened.evaluate(_LOWEST_CONTRAST) >= 4.5


def test_page_shows_the_keyboard_focus(opened: Page) -> None:
    places = set()
    for _ in range(12):
        opened.keyboard.press("Tab")
        style, width = opened.evaluate(
            "(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
        )
        assert (style, width) == ("solid", "3px")
        places.add(opened.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
    assert len(places) == 12


@pytest.mark.parametrize("opened", [{"java_script_enabled": False}], indirect=True)
def test_page_needs_no_scripts(opened: Page) -> None:
    assert opened.get_by_role("heading", name="Open dead letters").is_visible()
    assert opened.get_by_role("link", name="Load again").is_visible()


@pytest.mark.parametrize(
    "opened", [{"color_scheme": scheme} for scheme in ("light", "dark")], indirect=True, ids=["light", "dark"]
)
def test_no_page_breaks_a_rule_of_accessibility_or_the_policy(opened: Page, kvitto: Running, dead_letter: str) -> None:
    messages: list[str] = []
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    for path in (*PAGES, f"/deliveries/{dead_letter}", "/entities/kompar/seen-in-a-browser", "/nowhere"):
        opened.goto(f"{kvitto.console}{path}")
        opened.evaluate(f"{_AXE}; 0")
        found = opened.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
        assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == [], path
    assert [text for text in messages if "404" not in text] == []


def test_keys_lead_to_pages_rows_and_the_search(opened: Page) -> None:
    opened.keyboard.press("g")
    opened.keyboard.press("d")
    opened.get_by_role("heading", name="Deliveries").wait_for()
    for key, row in (("j", 0), ("j", 1), ("k", 0)):
        opened.keyboard.press(key)
        assert opened.locator("[data-row]").nth(row).evaluate("each => each === document.activeElement")
    opened.keyboard.press("Enter")
    opened.get_by_role("heading", name="Delivery").wait_for()
    opened.keyboard.press("?")
    assert opened.get_by_role("dialog").is_visible()
    opened.keyboard.press("Escape")
    opened.keyboard.press("/")
    opened.keyboard.type("g d")
    assert opened.get_by_label("Search", exact=True).first.input_value() == "g d"


@pytest.mark.parametrize("opened", [{"viewport": {"width": 900, "height": 600}}], indirect=True)  # a list scrolls
def test_page_reloads_its_content_and_keeps_what_a_person_does(opened: Page, kvitto: Running) -> None:
    opened.goto(f"{kvitto.console}/deliveries")
    shown, row = opened.locator("#as-of").inner_text(), opened.locator("[data-row]").first
    row.focus()
    opened.evaluate("document.querySelector('.scroll').scrollLeft = 40; window.kept = document.activeElement")
    eventually(lambda: opened.locator("#as-of").inner_text() != shown, "a reload")
    assert opened.evaluate("document.activeElement === window.kept")
    assert opened.evaluate("document.querySelector('.scroll').scrollLeft") == 40


@pytest.mark.parametrize("busy", ["paused", "typing", "reading the help"])
def test_page_does_not_reload_while_a_person_is_busy(opened: Page, kvitto: Running, busy: str) -> None:
    opened.goto(f"{kvitto.console}/deliveries")
    requests: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.evaluate(
        "document.addEventListener('htmx:before:request', event => window.stopped = event.defaultPrevented)"
    )
    if busy == "paused":
        opened.get_by_role("button", name="Live").click()
    elif busy == "typing":
        opened.get_by_label("flag").focus()
    else:
        opened.keyboard.press("?")
    eventually(lambda: bool(opened.evaluate("window.stopped")), "the time of a reload")
    assert requests == []
