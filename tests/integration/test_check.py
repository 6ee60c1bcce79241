"""`kvitto check` finds what is dangerous about real settings and servers, each with its mend."""

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest

from app.inbox import client
from app.preflight.report import Diagnosis, diagnose
from app.process_settings import PROCESSES
from app.providers import registry
from app.storage.connection import connect
from app.storage.migration_runner import migrate
from config.checks.result import CheckLevel, CheckResult
from tests import servers
from tests.kvitto_process import Running, command, run
from tests.misconfigurations import FAULT, NOWHERE, SEEDS, WARNING, Environment, Sound, a_writable_replica, key
from tests.ports import free_port
from tests.providers.provider_fixtures import names
from tests.servers import bare_environment


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sound]:
    folder = tmp_path_factory.mktemp("sound")
    with servers.postgres(folder) as postgres, servers.valkey(folder, "--maxmemory", "1gb") as redis_url:
        dsn = postgres.replace("/postgres", "/sound")
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("CREATE DATABASE sound")
        with connect(dsn, "test") as connection:
            migrate(connection)
        with psycopg.connect(dsn, autocommit=True) as connection, client.connect(redis_url) as redis:
            connection.execute("CREATE ROLE least LOGIN; GRANT SELECT ON public.kvitto_migrations TO least")
            environment = secret_files(folder) | {
                "DATABASE_URL": dsn.replace("kvitto@", "least@"),
                "REDIS_URL": redis_url,
            }
            yield Sound(environment, redis, folder / "valkey", connection)


def secret_files(folder: Path) -> Environment:
    values = {"SEALING_KEYS": f"a={key(b's')}", "FINGERPRINT_KEY": key(b"f"), "CONSOLE_PASSWORD": "p" * 20}
    for name in names():
        values |= registry.development_secrets(name)
    for name, value in values.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(value)
    return {f"{name}_FILE": str(folder / name) for name in values}


def look(environment: Environment) -> Diagnosis:
    return diagnose(environment, tuple(PROCESSES))


@pytest.mark.parametrize("name", SEEDS)
def test_one_thing_that_is_wrong_is_found_with_its_mend_and_nothing_else(sound: Sound, name: str) -> None:
    seed, what, verdict, found, mend = SEEDS[name]
    with seed(sound) as environment:
        diagnosis = look(environment)
    (finding,) = [each for each in told(diagnosis) if each.level is not CheckLevel.OK]
    assert (finding.name, finding.level) == (what, verdict)
    assert found in finding.message
    assert mend in finding.hint
    assert diagnosis.status == (0 if verdict is WARNING else 78 if finding in diagnosis.settings else 1)
    assert not [secret for secret in secrets(environment) if secret in str(told(diagnosis))]


def told(diagnosis: Diagnosis) -> list[CheckResult]:
    return [*diagnosis.settings, *diagnosis.servers]


def doubted(diagnosis: Diagnosis) -> dict[str, CheckResult]:
    return {finding.name: finding for finding in told(diagnosis) if finding.level is not CheckLevel.OK}


def secrets(environment: Environment) -> set[str]:
    """Return all that must not be shown, keys of another application included."""
    files = [Path(path) for name, path in environment.items() if name.endswith("_FILE")]
    given = [environment[name] for name in ("SEALING_KEYS", "KOMPAR_TOKENS", "CONSOLE_PASSWORD") if name in environment]
    wholes = [*given, *(file.read_text() for file in files if file.exists())]
    parts = {part for whole in wholes for item in whole.split(",") for part in (item, item.partition("=")[2])}
    return {part for part in parts if len(part) > 2} | {"not-known-to-us", "19811218"}


def test_a_writable_replica_is_no_durable_inbox_either(sound: Sound) -> None:
    with a_writable_replica(sound) as environment:
        diagnosis = look(environment)
        accepted = look(environment | {"ALLOW_NON_DURABLE": "redis,postgres"})
    assert set(doubted(diagnosis)) == {"redis role", "redis replica-read-only"}
    assert "Name the primary" in doubted(diagnosis)["redis replica-read-only"].hint
    assert doubted(accepted)["redis replica-read-only"].level is WARNING
    assert doubted(accepted)["redis role"].level is FAULT


def test_a_cluster_is_no_inbox(sound: Sound, tmp_path: Path) -> None:
    options = ("--maxmemory", "1gb", "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with servers.valkey(tmp_path, *options) as url:
        found = doubted(look(sound.environment | {"REDIS_URL": url}))
    assert found["redis mode"].level is FAULT
    assert "not part of a cluster" in found["redis mode"].hint


def test_a_postgres_that_loses_and_is_full(sound: Sound, tmp_path: Path) -> None:
    options = ("fsync=off", "full_page_writes=off", "max_connections=23")
    with (
        servers.postgres(tmp_path, *(text for option in options for text in ("-c", option))) as dsn,
        ExitStack() as held,
    ):
        with connect(dsn, "test") as connection:
            migrate(connection)
            connection.execute("CREATE ROLE least LOGIN; GRANT SELECT ON public.kvitto_migrations TO least")
        for _ in range(18):
            held.enter_context(connect(dsn, "test"))
        environment = sound.environment | {"DATABASE_URL": dsn.replace("kvitto@", "least@")}
        found = doubted(look(environment))
        accepted = doubted(look(environment | {"ALLOW_NON_DURABLE": "redis,postgres"}))
    assert set(found) == {"postgres fsync", "postgres full_page_writes", "postgres connections"}
    assert {finding.level for finding in found.values()} == {FAULT}
    assert "of 20 used" in found["postgres connections"].message
    assert "Set fsync = on" in found["postgres fsync"].hint
    assert accepted["postgres fsync"].level is WARNING


def test_a_standby_takes_no_writes(sound: Sound, tmp_path: Path) -> None:
    with servers.postgres(tmp_path) as dsn, connect(dsn, "test") as connection:
        migrate(connection)
    (tmp_path / "postgres" / "standby.signal").touch()
    with servers.postgres(tmp_path) as dsn:
        found = doubted(look(sound.environment | {"DATABASE_URL": dsn}))
    assert found["postgres role"].level is FAULT
    assert "standby" in found["postgres role"].message
    assert "primary" in found["postgres role"].hint


def test_an_encoding_that_is_not_unicode(sound: Sound) -> None:
    sound.database.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'")
    found = doubted(look(sound.environment | {"DATABASE_URL": sound.dsn(database="ascii")}))
    assert found["postgres encoding"].level is FAULT
    assert "SQL_ASCII" in found["postgres encoding"].message
    assert "ENCODING 'UTF8'" in found["postgres encoding"].hint


# The command.


def test_nothing_wrong_is_exit_0(sound: Sound) -> None:
    done = run("check", environment=sound.environment)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "level", "message", "hint"]
    assert lines[-1].endswith("ok, 0 warning, 0 fault")
    assert "\x1b[" not in done.stdout
    clocks = [line.split()[3] for line in lines if "clock" in line]
    assert len(clocks) == 2
    assert all(float(seconds) < 1 for seconds in clocks)


def test_a_terminal_gets_colours_and_rows_that_fit(sound: Sound) -> None:
    ours, its = pty.openpty()
    environment = (
        bare_environment()
        | sound.environment
        | {"COLUMNS": "100", "TERM": "xterm", "ALLOW_NON_DURABLE": "redis,postgres"}
    )
    with os.fdopen(ours, "rb", buffering=0) as shown, subprocess.Popen(command("check"), env=environment, stdout=its):
        os.close(its)
        text = b""
        with suppress(OSError):  # how Linux tells that the other end is closed
            while portion := shown.read(4096):
                text += portion
    lines = text.decode().splitlines()
    assert "\x1b[33mwarning" in text.decode()
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines) <= 100


def test_every_fault_of_every_process_is_told_at_once(sound: Sound) -> None:
    environment = {"REDIS_URL": f"redis://{NOWHERE}/0", "DATABASE_URL": sound.dsn(database="template1")}
    done = run("check", "--json", environment=environment)
    assert done.returncode == 78
    assert done.stderr == ""
    findings = json.loads(done.stdout)
    assert {tuple(finding) for finding in findings} == {("level", "name", "message", "hint")}
    faults = {finding["name"]: finding for finding in findings if finding["level"] == "fault"}
    assert set(faults) == {
        "SEALING_KEYS", "FINGERPRINT_KEY", "KOMPAR_KEYS", "KOMPAR_TOKENS", "SOLARIS_SECRETS", "CONSOLE_PASSWORD",
        "redis", "postgres migrations",
    }  # fmt: skip
    assert all(finding["hint"] for finding in faults.values())
    assert "needed by ingest, worker" in faults["SEALING_KEYS"]["message"]


def test_nothing_is_said_of_what_was_not_looked_at() -> None:
    environment = {"INGEST_BIND": "foo", "REDIS_URL": f"redis://{NOWHERE}/0", "ALLOW_NON_DURABLE": "perhaps"}
    done = run("check", "ingest", "--json", environment=environment)
    assert done.returncode == 78
    findings = {finding["name"]: finding["level"] for finding in json.loads(done.stdout)}
    assert findings.keys() >= {"INGEST_BIND", "ALLOW_NON_DURABLE", "SEALING_KEYS", "redis"}
    assert findings.pop("modules") == "ok"
    assert set(findings.values()) == {"fault"}


def test_a_faulty_server_is_exit_1(sound: Sound) -> None:
    done = run("check", "beat", environment=sound.environment | {"CELERY_BROKER_URL": f"redis://{NOWHERE}/0"})
    assert done.returncode == 1
    assert "broker-unreachable" in done.stdout


def test_only_what_the_named_processes_use_is_looked_at(sound: Sound) -> None:
    done = run("check", "beat", "--json", environment={"REDIS_URL": sound.environment["REDIS_URL"]})
    assert done.returncode == 0, done.stdout
    assert "postgres" not in done.stdout
    assert "SEALING_KEYS" not in done.stdout
    assert run("check", "nobody", environment={}).returncode == 2


def test_before_the_first_migration_migrate_finds_all_well(sound: Sound) -> None:
    done = run("check", "migrate", environment={"DATABASE_URL": sound.dsn(database="template1")})
    assert done.returncode == 0, done.stdout


def test_what_runs_in_the_data_folder_is_looked_at(kvitto: Running) -> None:
    found = kvitto.run("check", "--json")
    assert found.returncode == 0, found.stdout
    verdicts = {finding["name"]: finding["level"] for finding in json.loads(found.stdout)}
    assert verdicts.keys() >= {"redis", "postgres"}
    assert verdicts["redis keys"] == "ok"  # Celery's own are among them


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
def test_a_setting_that_names_no_server_is_looked_at_beside_what_runs(kvitto: Running, setting: Environment) -> None:
    done = run("--data", str(kvitto.data), "check", "--json", environment=setting)
    assert done.returncode == 0, done.stdout
    assert {finding["name"] for finding in json.loads(done.stdout)} >= {"redis", "postgres"}


def test_the_environment_wins_over_what_runs(kvitto: Running) -> None:
    done = run("--data", str(kvitto.data), "check", environment={"INGEST_BIND": "foo", "SEALING_KEYS": "nolabel"})
    assert done.returncode == 78
    assert "2 fault" in done.stdout
    assert "DATABASE_URL" not in done.stdout


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_beside_servers_of_one_s_own_nothing_that_runs_is_looked_at(kvitto: Running, name: str) -> None:
    elsewhere = {"DATABASE_URL": f"postgresql://{NOWHERE}/x", "REDIS_URL": f"redis://{NOWHERE}/0"}
    done = run("--data", str(kvitto.data), "check", environment={name: elsewhere[name]})
    assert done.returncode == 78
    assert "SEALING_KEYS" in done.stdout


def test_a_redis_that_kvitto_up_was_given_is_what_runs(kvitto: Running) -> None:
    done = run("--data", str(kvitto.data), "check", environment={"REDIS_URL": kvitto.redis})
    assert done.returncode == 0, done.stdout
