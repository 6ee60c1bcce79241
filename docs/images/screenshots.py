"""Takes pictures of the console of a running `kvitto up`: docs/images/screenshots.py DATA_FOLDER FOLDER [PAGE …].

It logs in as a user that it adds and removes, and takes each page on a desktop and on a phone, in the light and in the
dark. Pictures are WebP without loss, which is half of what they take as PNG.
"""

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

_USER = "screenshots"
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-headless-shell")
_SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
_SCHEMES = ("light", "dark")
# Name of the picture, address, and what is clicked there in turn to reach the page.
_PAGES: dict[str, tuple[str, Sequence[str]]] = {
    "overview": ("/", ()),
    "deliveries": ("/deliveries", ()),
    "deliveries-filtered": ("/deliveries?topic=applications&outcome=duplicate", ()),
    "delivery": ("/deliveries?topic=applications&outcome=stored", ("tbody [data-row]",)),
    "entity": ("/deliveries?topic=applications", ("tbody tr:has-text('revision 2') a[href^='/entities']",)),
    "dead-letters": ("/dead-letters", ()),
    "dead-letter": ("/deliveries?outcome=dead", ("tbody [data-row]",)),
    "replays": ("/jobs", ()),
    "replay": ("/jobs", ("tbody tr:has-text('dry-run') [data-row]",)),
    "rejected": ("/rejected", ()),
    "providers": ("/providers", ()),
    "audits": ("/audits", ()),
    "drift": ("/drift", ()),
    "feed": ("/feed", ()),
    "log": ("/log", ()),
    "keys": ("/deliveries", ()),
    "nothing-found": ("/deliveries?entity=4711", ()),
    "not-found": ("/deliveries/01935b3e-7a60-7c3f-8d0a-0123456789ab", ()),
    "revealed": ("/deliveries?topic=decisions&outcome=stored", ("tbody [data-row]",)),  # without a national id
    "login": ("/login", ()),
}


def main(data: Path, folder: Path, names: list[str]) -> None:
    """Write NAME-light-desktop.webp and so on into the folder."""
    address = f"http://{json.loads((data / 'environment.json').read_text())['CONSOLE_BIND']}"
    command = [str(Path(sys.executable).with_name("kvitto")), "--data", str(data), "users"]
    added = subprocess.run(  # noqa: S603 - our own
        [*command, "add", _USER, "--role", "operator", "--operator", _USER], capture_output=True, text=True, check=True
    )
    (password,) = re.findall(r"^password: (\S+)$", added.stdout, re.MULTILINE)
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
            for size, viewport in _SIZES.items():
                page = chromium.new_page(viewport=viewport)
                _log_in(page, address, password)
                for name in names or _PAGES:
                    _reach(page, address, name)
                    for scheme in _SCHEMES:
                        page.emulate_media(color_scheme=scheme)
                        _keep(page.screenshot(), folder / f"{name}-{scheme}-{size}.webp")
            chromium.close()
    finally:
        subprocess.run([*command, "remove", _USER, "--operator", _USER], check=True)  # noqa: S603 - our own


def _log_in(page: Page, address: str, password: str) -> None:
    page.set_default_timeout(120_000)
    page.goto(f"{address}/login")
    page.get_by_label("User name").fill(_USER)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()


def _reach(page: Page, address: str, name: str) -> None:
    path, selectors = _PAGES[name]
    page.goto(f"{address}{path}")
    for selector in selectors:
        page.locator(selector).first.click()
        page.wait_for_load_state()
    if name == "keys":
        page.keyboard.press("?")
    if name == "revealed":
        form = page.locator("form:has(button:text('Reveal'))")
        form.get_by_label("Why").fill("a picture for the manual")
        form.get_by_role("button").click()
        page.get_by_text("The access log has who revealed it").wait_for()


def _keep(picture: bytes, file: Path) -> None:
    Image.open(io.BytesIO(picture)).convert("RGB").save(file, lossless=True, quality=60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
