"""Settings are declared, documented and read; other environment variables are removed."""

import os
from pathlib import Path

import click
import pytest

from app.cli.main import COMMANDS, kvitto
from app.process_settings import READERS
from app.providers import registry
from config import declarations
from config.environment import Environment
from config.variables import SETTINGS, is_setting, remove_foreign_modules, remove_foreign_variables, setting_of
from docs.settings_reference import reference
from tests.support.kvitto_process import ROOT

OF_PROVIDERS = [setting for name in registry.known() for setting in registry.declared_settings(name)]
DECLARED = {setting.name: setting for setting in (*declarations.SETTINGS, *OF_PROVIDERS)}


def read_by_processes() -> Environment:
    """Return an empty environment from which every process has read its settings."""
    environment = Environment({})
    for read in READERS.values():
        read(environment)
    return environment


def test_setting_that_a_process_reads_is_declared() -> None:
    names = read_by_processes().names_read
    assert {setting_of(name) for name in names} <= set(DECLARED)
    assert [name for name in names if not is_setting(name, registry.known())] == []


def test_setting_that_is_declared_is_read_by_a_process() -> None:
    through_environment = {name for name, setting in DECLARED.items() if not setting.read_by}
    assert read_by_processes().names_read >= through_environment


def test_setting_without_a_default_is_required() -> None:
    missing = {fault.name for fault in read_by_processes().faults if fault.message == "is not set"}
    assert missing == {name for name, setting in DECLARED.items() if setting.default is None}


@pytest.mark.parametrize("name", [name for name in DECLARED if name.endswith("_API_URL")])
def test_default_of_an_api_is_the_declared_one(name: str) -> None:
    api = registry.load_subscriptions(name.partition("_")[0].lower(), Environment({}), lambda _: None)
    assert api is not None
    assert api.url == DECLARED[name].default


def test_configuration_page_is_up_to_date() -> None:
    """Write it with: python -m docs.settings_reference > docs/configuration.md."""
    assert (ROOT / "docs" / "configuration.md").read_text() == reference()


@pytest.mark.parametrize("name", registry.known())
def test_settings_of_a_provider_begin_with_its_name(name: str) -> None:
    environment = Environment({})
    registry.load_authentication(name, environment)
    registry.load(name, environment)
    registry.load_subscriptions(name, environment, lambda _: None)
    general = {setting for setting in environment.names_read if setting_of(setting) in SETTINGS}
    assert all(setting.startswith(f"{name.upper()}_") for setting in environment.names_read - general)


def test_variable_that_is_not_declared_is_removed() -> None:
    kept = {
        "PATH": "p", "LC_ALL": "C", "https_proxy": "x", "NO_PROXY": "y", "DATABASE_URL": "d", "REDIS_URL_FILE": "r",
        "KOMPAR_KEYS": "k", "SOLARIS_SECRETS_FILE": "s", "LD_PRELOAD": "l", "MALLOC_ARENA_MAX": "1", "CA_FILE": "c",
    }  # fmt: skip
    foreign = {"PGHOST": "h", "BROKER_URL": "b", "PYTHONPATH": "p", "KOMPARE": "no", "DATABASE_URL_OLD": "no", "": "no"}
    variables, path = kept | foreign, ["/usr/lib/python3"]
    remove_foreign_variables(variables, path)
    assert path == [str(ROOT), "/usr/lib/python3"]
    assert variables == kept | {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("foreign", ["/theirs", "", "/theirs:", ":/theirs", "/theirs:/more"])
def test_pythonpath_is_removed_from_the_module_path(foreign: str) -> None:
    own = ["/venv/bin", "/usr/lib/python3", "/venv/lib/site-packages"]
    path = [own[0], *(os.path.abspath(item) for item in foreign.split(":")), *own[1:]]
    remove_foreign_modules({"PYTHONPATH": foreign}, path)
    assert path == own


def test_current_folder_is_removed_from_the_module_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for first in ("", str(tmp_path)):
        path = [first, "/usr/lib/python3"]
        remove_foreign_modules({}, path)
        assert path == ["/usr/lib/python3"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_line_of_a_command_is_its_own(name: str) -> None:
    command = kvitto.get_command(click.Context(kvitto), name)
    assert command is not None
    assert command.get_short_help_str(200) == COMMANDS[name][1]
