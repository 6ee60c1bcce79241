"""Which environment variables count."""

import os
from pathlib import Path

import click
import pytest

from app.cli.main import COMMANDS, kvitto
from app.process_settings import READERS
from app.providers import registry
from config.environment import Environment
from config.variables import SETTINGS, is_setting, keep_out_foreign, setting_of
from tests.kvitto_process import ROOT


def asked() -> set[str]:
    """Return every setting that any process reads."""
    environment = Environment({})
    for read in READERS.values():
        read(environment)
    return environment.names_read


def test_every_setting_that_is_read_counts() -> None:
    assert [name for name in asked() if not is_setting(name, registry.known())] == []


def test_no_setting_counts_that_nothing_reads() -> None:
    read_elsewhere = {"KVITTO_DATA", "PROMETHEUS_MULTIPROC_DIR"}  # by the command line, by the metrics' library
    assert asked() >= SETTINGS - read_elsewhere


@pytest.mark.parametrize("name", registry.known())
def test_a_providers_settings_begin_with_its_name(name: str) -> None:
    environment = Environment({})
    registry.load_authentication(name, environment)
    registry.load(name, environment)
    registry.load_subscriptions(name, environment, lambda _: None)
    general = {setting for setting in environment.names_read if setting_of(setting) in SETTINGS}
    assert all(setting.startswith(f"{name.upper()}_") for setting in environment.names_read - general)


def test_what_is_not_listed_is_dropped() -> None:
    kept = {
        "PATH": "p", "LC_ALL": "C", "https_proxy": "x", "NO_PROXY": "y", "DATABASE_URL": "d", "REDIS_URL_FILE": "r",
        "KOMPAR_KEYS": "k", "SOLARIS_SECRETS_FILE": "s", "LD_PRELOAD": "l", "MALLOC_ARENA_MAX": "1", "CA_FILE": "c",
    }  # fmt: skip
    foreign = {"PGHOST": "h", "BROKER_URL": "b", "PYTHONPATH": "p", "KOMPARE": "no", "DATABASE_URL_OLD": "no", "": "no"}
    variables = kept | foreign
    keep_out_foreign(variables, [])
    assert variables == kept | {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("foreign", ["/theirs", "", "/theirs:", ":/theirs", "/theirs:/more"])
def test_what_pythonpath_put_on_the_module_path_is_dropped(foreign: str) -> None:
    own = ["/venv/bin", "/usr/lib/python3", "/venv/lib/site-packages"]
    path = [own[0], *(os.path.abspath(item) for item in foreign.split(":")), *own[1:]]
    keep_out_foreign({"PYTHONPATH": foreign}, path)
    assert path == [str(ROOT), *own]


def test_the_current_folder_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for first in ("", str(tmp_path)):
        path = [first, "/usr/lib/python3"]
        keep_out_foreign({}, path)
        assert path == [str(ROOT), "/usr/lib/python3"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_in_the_overview_is_its_own(name: str) -> None:
    command = kvitto.get_command(click.Context(kvitto), name)
    assert command is not None
    assert command.get_short_help_str(200) == COMMANDS[name][1]
