"""Takes pictures of the console of a running `kvitto up`: python docs/images/screenshots.py DATA_FOLDER."""

import json
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main(data: Path) -> None:
    """Write console-light.png and console-dark.png beside this file."""
    environment = json.loads((data / "environment.json").read_text())
    password = Path(environment["CONSOLE_PASSWORD_FILE"]).read_text().strip()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = chromium.new_page(
                viewport={"width": 1180, "height": 820},
                color_scheme=scheme,
                http_credentials={"username": "operator", "password": password},
            )
            page.goto(f"http://{environment['CONSOLE_BIND']}/")
            page.screenshot(path=Path(__file__).with_name(f"console-{scheme}.png"))
        chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
