"""The browser of all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # every test process imports this module, and one runs it
    from playwright.sync_api import Browser

_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


# Playwright's event loop runs as long. Other tests of this process need one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - the import takes a quarter of a second

    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert chromium, "no browser: apt-get install chromium-headless-shell"
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield chrome
        chrome.close()
