"""Which environment variables count."""

import os
import sys
from pathlib import Path

import click
import pytest

from app import providers
from app.cli.main import COMMANDS, kvitto
from app.processes import READERS
from config.environment import Environment
from config.variables import SETTINGS, drop_python_path, drop_unknown, is_setting


def asked() -> set[str]:
    """Return every setting that any process reads."""
    environment = Environment({})
    for read in READERS.values():
        read(environment)
    return environment.asked


def test_every_setting_that_is_read_counts() -> None:
    assert [name for name in asked() if not is_setting(name, providers.known())] == []


def test_no_setting_counts_that_nothing_reads() -> None:
    read_elsewhere = {"KVITTO_DATA", "PROMETHEUS_MULTIPROC_DIR"}  # by the command line, by the metrics' library
    assert asked() >= SETTINGS - read_elsewhere


@pytest.mark.parametrize("name", providers.known())
def test_a_providers_settings_begin_with_its_name(name: str) -> None:
    environment = Environment({})
    providers.load_authentication(name, environment)
    providers.load(name, environment)
    providers.load_subscriptions(name, environment, lambda _: None)
    general = {setting for setting in environment.asked if setting.removesuffix("_FILE") in SETTINGS}
    assert all(setting.startswith(f"{name.upper()}_") for setting in environment.asked - general)


def test_what_is_not_listed_is_dropped() -> None:
    kept = {
        "PATH": "p", "LC_ALL": "C", "https_proxy": "x", "NO_PROXY": "y", "DATABASE_URL": "d", "REDIS_URL_FILE": "r",
        "KOMPAR_KEYS": "k", "SOLARIS_SECRETS_FILE": "s", "LD_PRELOAD": "l", "MALLOC_ARENA_MAX": "1",
    }  # fmt: skip
    foreign = {"PGHOST": "h", "BROKER_URL": "b", "PYTHONPATH": "p", "KOMPARE": "no", "DATABASE_URL_OLD": "no", "": "no"}
    variables = kept | foreign
    drop_unknown(variables)
    assert variables == kept


@pytest.mark.parametrize("foreign", ["/theirs", "", "/theirs:", ":/theirs", "/theirs:/more"])
def test_what_pythonpath_put_on_the_module_path_is_dropped(foreign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", foreign)
    own = ["/venv/bin", "/usr/lib/python3", "/venv/lib/site-packages"]
    path = [own[0], *(os.path.abspath(item) for item in foreign.split(":")), *own[1:]]
    drop_python_path(path)
    assert path == own


def test_without_pythonpath_the_module_path_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    path = [*sys.path, str(Path.cwd())]
    before = list(path)
    drop_python_path(path)
    assert path == before


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_in_the_overview_is_its_own(name: str) -> None:
    command = kvitto.get_command(click.Context(kvitto), name)
    assert command is not None
    assert command.get_short_help_str(200) == COMMANDS[name][1]
