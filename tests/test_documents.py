"""What SECURITY.md and CONTRIBUTING.md name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = {name: (ROOT / name).read_text() for name in ("SECURITY.md", "CONTRIBUTING.md")}
SCHEMA = "".join(path.read_text() for path in (ROOT / "app" / "storage" / "migrations").glob("*.sql"))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_are_there(name: str) -> None:
    paths = re.findall(r"`((?:app|workers|config|tests)/[^`]*)`|\]\(([^)]+)\)", DOCUMENTS[name])
    named = [path for pair in paths for path in pair if path and not re.search("NAME|NNNN", path)]
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_tables_and_settings_are_there() -> None:
    tables = re.findall(r"`kvitto\.(\w+)`", DOCUMENTS["SECURITY.md"])
    assert tables
    assert [table for table in tables if f"CREATE TABLE {table} (" not in SCHEMA] == []
    told = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", DOCUMENTS["SECURITY.md"])) - {"NAME_FILE"}
    assert told
    assert told <= set(re.findall(r"`([A-Z_]+)`", (ROOT / "README.md").read_text()))


def test_every_key_of_a_national_id_is_told() -> None:
    source = (ROOT / "app" / "domain" / "masking.py").read_text()
    masked = re.findall(r'"(\w+)"', re.findall(r"_ID_KEYS = (.*)", source)[0])
    assert masked
    assert [key for key in masked if f"`{key}`" not in DOCUMENTS["SECURITY.md"]] == []


def test_every_secret_s_rotation_is_told() -> None:
    settings = (ROOT / "README.md").read_text().partition("### Settings")[2].partition("###")[0]
    secrets = [*re.findall(r"^\| `([A-Z_]+)` \| secret;", settings, re.MULTILINE), "CONSOLE_PASSWORD"]
    assert len(secrets) > 5
    assert [name for name in secrets if f"| `{name}` |" not in DOCUMENTS["SECURITY.md"]] == []
