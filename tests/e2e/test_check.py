"""`kvitto check` beside a running Kvitto."""

import json

import pytest

from tests.support.kvitto_process import Running, run
from tests.support.misconfigurations import (
    NOWHERE,
    Environment,
    key,
)


def test_check_uses_the_settings_of_the_data_folder(kvitto: Running) -> None:
    found = kvitto.run("check", "--json")
    assert found.returncode == 0, found.stdout
    levels = {result["name"]: result["level"] for result in json.loads(found.stdout)}
    assert levels.keys() >= {"redis", "postgres"}
    assert levels["redis keys"] == "ok"  # Celery's own are among them


@pytest.mark.parametrize(
    "setting",
    [
        {"INGEST_BIND": "127.0.0.1:9000"},
        {"CONSOLE_BIND": "127.0.0.1:9001"},
        {"PROVIDERS": "kompar,solaris"},
        {"SEALING_KEYS": f"another={key(b's')}"},  # beside the data folder's SEALING_KEYS_FILE
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_check_with_a_setting_that_names_no_server_uses_the_data_folder_too(
    kvitto: Running, setting: Environment
) -> None:
    done = run("--data", str(kvitto.data), "check", "--json", environment=setting)
    assert done.returncode == 0, done.stdout
    assert {result["name"] for result in json.loads(done.stdout)} >= {"redis", "postgres"}


def test_check_prefers_the_environment_to_the_data_folder(kvitto: Running) -> None:
    done = run("--data", str(kvitto.data), "check", environment={"INGEST_BIND": "foo", "SEALING_KEYS": "nolabel"})
    assert done.returncode == 78
    assert "2 fault" in done.stdout
    assert "DATABASE_URL" not in done.stdout


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_check_with_a_named_server_ignores_the_data_folder(kvitto: Running, name: str) -> None:
    elsewhere = {"DATABASE_URL": f"postgresql://{NOWHERE}/x", "REDIS_URL": f"redis://{NOWHERE}/0"}
    done = run("--data", str(kvitto.data), "check", environment={name: elsewhere[name]})
    assert done.returncode == 78
    assert "SEALING_KEYS" in done.stdout


def test_check_with_the_redis_that_runs_uses_the_data_folder(kvitto: Running) -> None:
    done = run("--data", str(kvitto.data), "check", environment={"REDIS_URL": kvitto.redis})
    assert done.returncode == 0, done.stdout
