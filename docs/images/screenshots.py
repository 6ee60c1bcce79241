"""Takes pictures of the console of a running `kvitto up`: python docs/images/screenshots.py DATA_FOLDER FOLDER.

It logs in as a user that it adds and removes, and takes each page light and dark, on a desktop and on a phone.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

_USER = "screenshots"
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-headless-shell")
_SIZES = {"desktop": {"width": 1180, "height": 600}, "phone": {"width": 390, "height": 844}}
# Name of the picture, address, and what is clicked there to reach the page.
_PAGES = {
    "overview": ("/", ""),
    "deliveries": ("/deliveries", ""),
    "delivery": ("/deliveries?outcome=stored", "tbody [data-row]"),
    "entity": ("/deliveries?topic=applications", "tbody tr:has-text('revision 2') a[href^='/entities']"),
    "dead-letters": ("/dead-letters", ""),
    "dead-letter": ("/deliveries?outcome=dead", "tbody [data-row]"),
    "replays": ("/jobs", ""),
    "replay": ("/jobs", "tbody tr:has-text('dry-run') [data-row]"),
    "rejected": ("/rejected", ""),
    "providers": ("/providers", ""),
    "audits": ("/audits", ""),
    "drift": ("/drift", ""),
    "feed": ("/feed", ""),
    "log": ("/log", ""),
    "login": ("/login", ""),
}


def main(data: Path, folder: Path, names: list[str]) -> None:
    """Write NAME-light-desktop.png and so on into the folder."""
    address = f"http://{json.loads((data / 'environment.json').read_text())['CONSOLE_BIND']}"
    command = [str(Path(sys.executable).with_name("kvitto")), "--data", str(data), "users"]
    added = subprocess.run(  # noqa: S603 - our own
        [*command, "add", _USER, "--role", "operator", "--operator", _USER], capture_output=True, text=True, check=True
    )
    (password,) = re.findall(r"^password: (\S+)$", added.stdout, re.MULTILINE)
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                for size, viewport in _SIZES.items():
                    page = chromium.new_page(viewport=viewport, color_scheme=scheme)
                    _log_in(page, address, password)
                    for name in names or _PAGES:
                        _take(page, address, name, folder / f"{name}-{scheme}-{size}.png")
            chromium.close()
    finally:
        subprocess.run([*command, "remove", _USER, "--operator", _USER], check=True)  # noqa: S603 - our own


def _log_in(page: Page, address: str, password: str) -> None:
    page.goto(f"{address}/login")
    page.get_by_label("User name").fill(_USER)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()


def _take(page: Page, address: str, name: str, file: Path) -> None:
    path, selector = _PAGES[name]
    page.goto(f"{address}{path}")
    if selector:
        page.locator(selector).first.click()
        page.wait_for_load_state()
    page.screenshot(path=file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
