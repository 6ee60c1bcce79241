"""The console in a real browser, on wide and narrow screens."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Error, Page, Response, sync_playwright

from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import Running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
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
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert chromium, "no browser: apt-get install chromium-headless-shell"
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield chrome
        chrome.close()


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


def password(kvitto: Running) -> str:
    return (kvitto.data / "secrets" / "CONSOLE_PASSWORD").read_text()


@pytest.fixture
def opened(browser: Browser, kvitto: Running, dead_letter: str, request: pytest.FixtureRequest) -> Iterator[Page]:  # noqa: ARG001
    """The page, opened with the password; a test's parameter holds further options of the browser's."""
    options: dict[str, Any] = getattr(request, "param", {})
    with browser.new_context(http_credentials={"username": "any", "password": password(kvitto)}, **options) as context:
        page = context.new_page()
        page.goto(kvitto.console)
        yield page


def test_page_asks_for_a_password(browser: Browser, kvitto: Running) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - Playwright marks the function
        with suppress(Error):  # of a browser with windows: the prompt, left without an answer
            page.goto(kvitto.console)
        assert {answer.status for answer in answers} == {401}
        assert "www-authenticate" in answers[0].all_headers()


def test_page_rejects_a_wrong_password(browser: Browser, kvitto: Running) -> None:
    with browser.new_context(http_credentials={"username": "any", "password": "wrong"}) as context:
        page = context.new_page()
        answer = page.goto(kvitto.console)
        assert answer is not None
        assert answer.status == 401
        assert page.inner_text("body").strip() == "The password is CONSOLE_PASSWORD."


def test_page_shows_the_state_of_every_provider(opened: Page, dead_letter: str) -> None:
    assert "something is wrong" in opened.title()
    assert "kompar: " in opened.inner_text("[role=status]")
    assert "kvitto dead-letters replay" in opened.inner_text("[role=status]")
    providers = opened.get_by_role("region", name="Providers").inner_text()
    assert "up to date" in providers
    assert " s ago" in providers
    assert dead_letter in opened.get_by_role("region", name="Dead letters").inner_text()
    assert "seen-in-a-browser" in opened.get_by_role("region", name="Newest events").inner_text()
    assert opened.locator("time").first.get_attribute("datetime")


def test_page_loads_nothing_from_other_servers_and_logs_nothing(
    browser: Browser, kvitto: Running, dead_letter: str
) -> None:
    messages: list[str] = []
    urls: set[str] = set()
    with browser.new_context(http_credentials={"username": "any", "password": password(kvitto)}) as context:
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: urls.add(request.url))
        page.goto(kvitto.console)
        assert dead_letter in page.content()
        assert not [ssn for ssn in ("19811218-9876", "198112189876", "8112189876") if ssn in page.content()]
        assert "<script" not in page.content()
        assert len(page.content()) < 20_000
    assert messages == []
    assert {urlsplit(url).netloc for url in urls if not url.startswith("data:")} == {urlsplit(kvitto.console).netloc}
    assert any(url.endswith("/style.css") for url in urls)


def test_page_does_not_run_an_injected_script(opened: Page) -> None:
    opened.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.run = 1'}))")
    assert opened.evaluate("window.run") is None


@pytest.mark.parametrize("opened", [{"viewport": _NARROW}], indirect=True)
def test_page_on_a_narrow_screen_scrolls_its_tables_only(opened: Page) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth") == _NARROW["width"]
    region = opened.get_by_role("region", name="Dead letters")
    assert region.evaluate("each => each.scrollWidth > each.clientWidth")
    region.evaluate("each => each.scrollBy(50, 0)")
    assert region.evaluate("each => each.scrollLeft") == 50


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
    for _ in range(opened.get_by_role("region").count() + 1):
        opened.keyboard.press("Tab")
        style, width = opened.evaluate(
            "(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
        )
        assert (style, width) == ("solid", "3px")
        places.add(opened.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
    assert len(places) == opened.get_by_role("region").count() + 1


@pytest.mark.parametrize("opened", [{"java_script_enabled": False}], indirect=True)
def test_page_needs_no_scripts(opened: Page) -> None:
    assert opened.get_by_role("heading", name="Providers").is_visible()
