"""The browser of all tests here."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


# Playwright's event loop runs as long. Other tests of this process need one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert chromium, "no browser: apt-get install chromium-headless-shell"
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield chrome
        chrome.close()
