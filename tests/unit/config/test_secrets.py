"""Secrets: how lists are written, and what an editor, a shell or a copy adds to a value."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.providers import registry
from config.checks.result import CheckResult
from config.environment import Environment, as_list_item
from config.settings import IngestSettings, MigrateSettings, WorkerSettings
from tests.unit.config.test_settings import GOOD, KEY

FIRST, SECOND = "first-secret-0123", "second-secret-0123"
SOURCES = ("variable", "file")


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def given(folder: Path, source: str, name: str, text: str) -> dict[str, str]:
    """Return an environment that gives a setting by its variable or by its file."""
    if source == "variable":
        return {name: text}
    (folder / name).write_bytes(text.encode())
    return {f"{name}_FILE": str(folder / name)}


@pytest.mark.parametrize(
    "text",
    [
        f"{FIRST},{SECOND}", f"{FIRST}\n{SECOND}\n", f"{FIRST}\r\n{SECOND}\r\n", f"{FIRST},\n{SECOND}",
        f" {FIRST} ,\t{SECOND}\n\n", f"\ufeff{FIRST}\n{SECOND}",
    ],
    ids=repr,
)  # fmt: skip
def test_list_ends_its_items_at_a_comma_or_a_line_end(tmp_path: Path, source: str, text: str) -> None:
    environment = Environment(given(tmp_path, source, "NAMES", text))
    assert environment.secrets("NAMES") == (FIRST, SECOND)
    assert environment.faults == []


def test_list_with_labels_may_have_one_a_line(tmp_path: Path, source: str) -> None:
    environment = Environment(given(tmp_path, source, "NAMES", f"\ufeffA={FIRST}\r\nB={SECOND}="))
    assert environment.labelled_secrets("NAMES") == (("A", FIRST), ("B", f"{SECOND}="))
    keys = Environment(given(tmp_path, source, "KEYS", f"a={KEY}\nb={KEY}\n"))
    assert keys.keys("KEYS") == (("a", b"k" * 32), ("b", b"k" * 32))
    assert environment.faults == keys.faults == []


@pytest.mark.parametrize("secret", ["abc,def0123456789abcdef", "50%2C and 50%25 of it", "%252c-%252C-%25252c"])
def test_list_holds_a_secret_with_commas_and_codes(tmp_path: Path, source: str, secret: str) -> None:
    text = f"{as_list_item(secret)}\n{FIRST}"
    assert Environment(given(tmp_path, source, "NAMES", text)).secrets("NAMES") == (secret, FIRST)
    labelled = Environment(given(tmp_path, source, "LABELLED", f"A={as_list_item(secret)}"))
    assert labelled.labelled_secrets("LABELLED") == (("A", secret),)


def test_key_of_kompar_may_hold_a_comma() -> None:
    environment = Environment(GOOD | {"KOMPAR_KEYS": f"a=%2c{'x' * 31}"})
    registry.load("kompar", environment)
    assert environment.faults == []
    assert environment.secret_values["KOMPAR_KEYS"] == (f",{'x' * 31}",)


HIDDEN = {
    "a byte order mark inside": "first\ufeffsecret-0123", "a zero-width space": f"{FIRST}\u200b", "a NUL": f"{FIRST}\0",
    "a no-break space": f"{FIRST}\u00a0", "a soft hyphen": "first\u00adsecret-0123", "a tab": "first\tsecret-0123",
    "a right-to-left mark": f"\u200f{FIRST}", "an escape": f"\x1b[1m{FIRST}", "a variation selector": f"{FIRST}\ufe0f",
    "a line separator": f"{FIRST}\u2028{SECOND}", "a filler": f"{FIRST}\u3164", "a tag": f"{FIRST}\U000e0041",
}  # fmt: skip
READERS: dict[str, Callable[[Environment, str], object]] = {
    "secret": Environment.secret, "secrets": Environment.secrets,
    "labelled_secrets": lambda environment, name: environment.labelled_secrets(name),
    "url": lambda environment, name: environment.url(name, ("postgresql",)),
}  # fmt: skip
PREFIXES = {"labelled_secrets": "label=", "url": "postgresql://"}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_secret_with_a_character_that_is_not_shown_is_a_fault(
    tmp_path: Path, source: str, read: str, text: str
) -> None:
    environment = Environment(given(tmp_path, source, "NAME", PREFIXES.get(read, "") + text))
    READERS[read](environment, "NAME")
    assert any("invisible character (U+" in fault.message for fault in environment.faults)
    assert_hides(environment.faults, FIRST)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("quotes", ['""', "''", "``", "\u201c\u201d", "\u2018\u2019"])
def test_secret_in_quotes_is_a_fault(tmp_path: Path, source: str, read: str, quotes: str) -> None:
    quoted = f"{quotes[0]}{PREFIXES.get(read, '')}{FIRST}{quotes[1]}"
    environment = Environment(given(tmp_path, source, "NAME", quoted))
    READERS[read](environment, "NAME")
    assert "stands in quotes" in {fault.message for fault in environment.faults}
    assert_hides(environment.faults, FIRST)


@pytest.mark.parametrize("text", [f'"{FIRST}",{SECOND}', f"{FIRST}\n'{SECOND}'\n{FIRST}"], ids=repr)
def test_item_in_quotes_is_a_fault(tmp_path: Path, source: str, text: str) -> None:
    environment = Environment(given(tmp_path, source, "NAMES", text))
    environment.secrets("NAMES")
    labelled = Environment({"NAMES": f'A="{FIRST}"'})
    labelled.labelled_secrets("NAMES")
    for found in (environment, labelled):
        assert [fault.message for fault in found.faults] == ["stands in quotes"]


def test_single_secret_with_a_line_end_is_a_fault(tmp_path: Path, source: str) -> None:
    environment = Environment(given(tmp_path, source, "NAME", f"{FIRST}\n{SECOND}"))
    environment.secret("NAME")
    assert ["line end" in fault.message for fault in environment.faults] == [True]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KOMPAR_TOKENS", f"abc,{FIRST}"), ("KOMPAR_TOKENS", f"{FIRST}\nabc"), ("SOLARIS_SECRETS", f"A={FIRST},B=abc"),
        ("CANARY_SECRET", "abc"), ("ROLE_PASSWORDS", "kvitto_worker=abc"),
    ],
)  # fmt: skip
def test_secret_that_can_be_guessed_is_a_fault(tmp_path: Path, source: str, name: str, text: str) -> None:
    environment = Environment(
        {key: value for key, value in GOOD.items() if key != name} | given(tmp_path, source, name, text)
    )
    for settings in (IngestSettings, WorkerSettings, MigrateSettings):
        settings.read(environment)
    for provider in ("kompar", "solaris"):
        registry.load_authentication(provider, environment)
    (fault,) = dict.fromkeys(fault for fault in environment.faults if fault.name == name)
    assert "has 3 characters" in fault.message
    assert "16 at least" in fault.hint
    assert "%2C" in fault.hint


def assert_hides(faults: list[CheckResult], secret: str) -> None:
    assert secret not in str(list(map(str, faults)))
    assert all(fault.hint for fault in faults)
