"""The pictures of the console: all of them are shown, in every size and colour, and they stay small."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_of_the_console_shows_every_picture_of_it() -> None:
    shown = re.findall(r'"(images/console/[\w-]+\.webp)"', (DOCS / "console.md").read_text())
    kept = {str(path.relative_to(DOCS)) for path in (DOCS / "images" / "console").iterdir()}
    assert len(shown) == len(set(shown))
    assert set(shown) == kept
    names = {re.sub(r"-(light|dark)-(desktop|phone)\.webp$", "", picture) for picture in kept}
    assert len(kept) == 4 * len(names) >= 60


def test_the_pictures_of_the_console_take_less_than_three_megabytes() -> None:
    assert sum(path.stat().st_size for path in (DOCS / "images" / "console").iterdir()) < 3_000_000
