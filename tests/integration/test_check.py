"""`kvitto check` finds what is dangerous about real settings and servers, each with a hint."""

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
from app.preflight.report import PreflightReport, run_checks
from app.process_settings import PROCESSES
from app.providers import registry
from app.storage.connection import connect
from app.storage.migration_runner import migrate
from config.checks.result import CheckLevel, CheckResult
from config.redis_address import RedisAddress
from tests.support import redis_user, servers
from tests.support.kvitto_process import command, run
from tests.support.misconfigurations import (
    EVERY_PROCESS,
    FAULT,
    NOWHERE,
    SEEDS,
    WARNING,
    Environment,
    HealthySetup,
    a_writable_replica,
    key,
    role_of_every_process,
)
from tests.support.ports import free_port
from tests.support.providers.provider_fixtures import names
from tests.support.servers import bare_environment


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HealthySetup]:
    folder = tmp_path_factory.mktemp("healthy")
    with servers.postgres(folder) as postgres, servers.valkey(folder, "--maxmemory", "1gb") as redis_url:
        dsn = postgres.replace("/postgres", "/healthy")
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("CREATE DATABASE healthy")
        with connect(dsn, "test") as connection:
            migrate(connection)
        with (
            psycopg.connect(dsn, autocommit=True) as connection,
            client.connect(RedisAddress.parse(redis_url)) as redis,
        ):
            role_of_every_process(connection)
            environment = secret_files(folder) | {
                "DATABASE_URL": dsn.replace("kvitto@", f"{EVERY_PROCESS}@"),
                "REDIS_URL": redis_url,
            }
            yield HealthySetup(environment, redis, folder / "valkey", connection)


def secret_files(folder: Path) -> Environment:
    values = {"SEALING_KEYS": f"a={key(b's')}", "FINGERPRINT_KEY": key(b"f"), "CONSOLE_PASSWORD": "p" * 20}
    for name in names():
        values |= registry.development_secrets(name)
    for name, value in values.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(value)
    return {f"{name}_FILE": str(folder / name) for name in values}


def checked(environment: Environment) -> PreflightReport:
    return run_checks(environment, tuple(PROCESSES))


@pytest.mark.parametrize("name", SEEDS)
def test_check_reports_one_misconfiguration_with_its_hint_and_nothing_else(healthy: HealthySetup, name: str) -> None:
    seed, subject, level, message, hint = SEEDS[name]
    with seed(healthy) as environment:
        report = checked(environment)
    (result,) = [result for result in results(report) if result.level is not CheckLevel.OK]
    assert (result.name, result.level) == (subject, level)
    assert message in result.message
    assert hint in result.hint
    assert report.status == (0 if level is WARNING else 78 if result in report.settings else 1)
    assert not [secret for secret in secrets(environment) if secret in str(results(report))]


def results(report: PreflightReport) -> list[CheckResult]:
    return [*report.settings, *report.servers]


def problems(report: PreflightReport) -> dict[str, CheckResult]:
    return {result.name: result for result in results(report) if result.level is not CheckLevel.OK}


def secrets(environment: Environment) -> set[str]:
    """Return all that must not be shown, keys of another application included."""
    files = [Path(path) for name, path in environment.items() if name.endswith("_FILE")]
    given = [environment[name] for name in ("SEALING_KEYS", "KOMPAR_TOKENS", "CONSOLE_PASSWORD") if name in environment]
    wholes = [*given, *(file.read_text() for file in files if file.exists())]
    parts = {part for whole in wholes for item in whole.split(",") for part in (item, item.partition("=")[2])}
    return {part for part in parts if len(part) > 2} | {"not-known-to-us", "19811218"}


def test_check_of_a_writable_replica_reports_role_and_durability(healthy: HealthySetup) -> None:
    with a_writable_replica(healthy) as environment:
        report = checked(environment)
        accepted = checked(environment | {"ALLOW_NON_DURABLE": "redis.replica-read-only"})
    assert set(problems(report)) == {"redis role", "redis replica-read-only"}
    assert "Name the primary" in problems(report)["redis replica-read-only"].hint
    assert problems(accepted)["redis replica-read-only"].level is WARNING
    assert problems(accepted)["redis role"].level is FAULT


def test_check_of_a_cluster_reports_a_fault(healthy: HealthySetup, tmp_path: Path) -> None:
    options = ("--maxmemory", "1gb", "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with servers.valkey(tmp_path, *options) as url:
        found = problems(checked(healthy.environment | {"REDIS_URL": url}))
    assert found["redis mode"].level is FAULT
    assert "not part of a cluster" in found["redis mode"].hint


def test_check_of_a_full_postgres_without_fsync_reports_each_fault(healthy: HealthySetup, tmp_path: Path) -> None:
    options = ("fsync=off", "full_page_writes=off", "max_connections=23")
    with (
        servers.postgres(tmp_path, *(text for option in options for text in ("-c", option))) as dsn,
        ExitStack() as held,
    ):
        with connect(dsn, "test") as connection:
            migrate(connection)
            role_of_every_process(connection)
        for _ in range(18):
            held.enter_context(connect(dsn, "test"))
        environment = healthy.environment | {"DATABASE_URL": dsn.replace("kvitto@", f"{EVERY_PROCESS}@")}
        found = problems(checked(environment))
        accepted = problems(checked(environment | {"ALLOW_NON_DURABLE": "postgres.fsync"}))
    assert set(found) == {"postgres fsync", "postgres full_page_writes", "postgres connections"}
    assert {result.level for result in found.values()} == {FAULT}
    assert "of 20 used" in found["postgres connections"].message
    assert "Set fsync = on" in found["postgres fsync"].hint
    assert (accepted["postgres fsync"].level, accepted["postgres full_page_writes"].level) == (WARNING, FAULT)


def test_check_of_a_standby_reports_a_fault(healthy: HealthySetup, tmp_path: Path) -> None:
    with servers.postgres(tmp_path) as dsn, connect(dsn, "test") as connection:
        migrate(connection)
    (tmp_path / "postgres" / "standby.signal").touch()
    with servers.postgres(tmp_path) as dsn:
        found = problems(checked(healthy.environment | {"DATABASE_URL": dsn}))
    assert found["postgres role"].level is FAULT
    assert "standby" in found["postgres role"].message
    assert "primary" in found["postgres role"].hint


def test_check_of_another_encoding_reports_a_fault(healthy: HealthySetup) -> None:
    healthy.database.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'")
    found = problems(checked(healthy.environment | {"DATABASE_URL": healthy.dsn(database="ascii")}))
    assert found["postgres encoding"].level is FAULT
    assert "SQL_ASCII" in found["postgres encoding"].message
    assert "ENCODING 'UTF8'" in found["postgres encoding"].hint


# The rights of a user of Redis.


def checked_as(healthy: HealthySetup, *changes: str) -> PreflightReport:
    """Check as the documented user, with these changes to its rights."""
    redis_user.create(healthy.redis, *changes)
    return checked(healthy.environment | {"REDIS_URL": redis_user.with_login(healthy.environment["REDIS_URL"])})


def test_check_as_a_user_with_the_documented_rights_reports_nothing(healthy: HealthySetup) -> None:
    assert problems(checked_as(healthy)) == {}


@pytest.mark.parametrize(
    ("missing", "subject", "message"),
    [
        (("-eval",), "redis permissions", "may not run EVAL"),
        (("-xadd",), "redis permissions", "may not run XADD"),
        (("-xclaim",), "redis permissions", "may not run XCLAIM"),
        (("resetkeys", "~inbox:*"), "redis permissions", "may not use a key"),
        (("resetkeys", "~inbox:*", "~wakeup:*", "~kompar", "~solaris"), "broker", "may not use a key"),
        (("-brpop",), "broker", "may not run BRPOP"),
        (("-time",), "redis", "may not run TIME"),
    ],
)
def test_check_as_a_user_with_too_few_rights_names_the_command(
    healthy: HealthySetup, missing: tuple[str, ...], subject: str, message: str
) -> None:
    found = problems(checked_as(healthy, *missing))
    assert found[subject].level is FAULT
    assert message in found[subject].message
    assert "ACL SETUSER" in found[subject].hint


def test_check_of_the_console_passes_as_a_user_with_the_rights_to_read(healthy: HealthySetup) -> None:
    redis_user.create(healthy.redis, rights=redis_user.READING_RIGHTS)
    environment = healthy.environment | {"REDIS_URL": redis_user.with_login(healthy.environment["REDIS_URL"])}
    assert problems(run_checks(environment, ["console"])) == {}
    redis_user.create(healthy.redis, "-xrange", rights=redis_user.READING_RIGHTS)
    found = problems(run_checks(environment, ["console"]))
    assert found["redis"].level is FAULT
    assert "may not run XRANGE" in found["redis"].message


@pytest.mark.parametrize("process", ["ingest", "worker", "console"])
def test_check_of_a_process_in_its_own_role_reports_nothing(healthy: HealthySetup, process: str) -> None:
    environment = healthy.environment | {"DATABASE_URL": healthy.dsn(f"kvitto_{process}")}
    assert problems(run_checks(environment, [process])) == {}


@pytest.mark.parametrize(
    ("process", "role"),
    [("ingest", "worker"), ("ingest", "console"), ("worker", "ingest"), ("worker", "console"), ("console", "ingest")],
)
def test_check_of_a_process_in_the_role_of_another_reports_a_fault(
    healthy: HealthySetup, process: str, role: str
) -> None:
    environment = healthy.environment | {"DATABASE_URL": healthy.dsn(f"kvitto_{role}")}
    (result,) = problems(run_checks(environment, [process])).values()
    assert (result.name, result.level) == ("postgres privileges", FAULT)
    assert result.message.startswith(f"kvitto_{role} lacks ")
    assert f"kvitto_{process}" in result.hint


def test_check_as_a_user_without_config_says_what_to_grant(healthy: HealthySetup) -> None:
    found = problems(checked_as(healthy, "-config"))
    assert "Grant CONFIG GET" in found["redis appendfsync"].hint
    assert "DURABLE_STORE=postgres" in found["redis appendfsync"].hint


# The command.


def test_check_of_a_healthy_setup_exits_0(healthy: HealthySetup) -> None:
    done = run("check", environment=healthy.environment)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "level", "message", "hint"]
    assert lines[-1].endswith("ok, 0 warning, 0 fault")
    assert "\x1b[" not in done.stdout
    clocks = [line.split()[3] for line in lines if "clock" in line]
    assert len(clocks) == 2
    assert all(float(seconds) < 1 for seconds in clocks)


def test_check_uses_the_objects_of_the_processes(healthy: HealthySetup) -> None:
    messages = {result.name: result.message for result in results(checked(healthy.environment))}
    assert messages["postgres session"] == "has all 3 settings"
    assert (
        messages["broker"] == "takes and gives wake-ups"
    )  # the Redis of the inboxes, asked as publishers of wake-ups ask it
    assert messages["kompar credentials"] == messages["solaris credentials"] == "requests with each are accepted"
    assert messages["worker slots"].endswith(" is writable")
    assert messages["beat's heartbeat"].endswith(" is writable")


def test_check_names_variables_of_libpq_that_are_not_read(healthy: HealthySetup) -> None:
    foreign = {"PGOPTIONS": "-c search_path=elsewhere", "PGSSLMODE": "verify-full", "PGDATA": "/x", "PAGER": "less"}
    done = run("check", "--json", environment=healthy.environment | foreign)
    assert done.returncode == 0
    (result,) = [result for result in json.loads(done.stdout) if result["level"] == "warning"]
    assert result["name"] == "PGOPTIONS, PGSSLMODE"
    assert "DATABASE_URL" in result["hint"]


def test_check_on_a_terminal_is_coloured_and_fits_its_width(healthy: HealthySetup) -> None:
    ours, its = pty.openpty()
    environment = (
        bare_environment()
        | healthy.environment
        | {"COLUMNS": "100", "TERM": "xterm", "ALLOW_NON_DURABLE": "redis.appendfsync"}
    )
    with os.fdopen(ours, "rb", buffering=0) as shown, subprocess.Popen(command("check"), env=environment, stdout=its):
        os.close(its)
        text = b""
        with suppress(OSError):  # how Linux says that the other end is closed
            while portion := shown.read(4096):
                text += portion
    lines = text.decode().splitlines()
    assert "\x1b[33mwarning" in text.decode()
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines) <= 100


def test_check_reports_every_fault_of_every_process_at_once(healthy: HealthySetup) -> None:
    environment = {"REDIS_URL": f"redis://{NOWHERE}/0", "DATABASE_URL": healthy.dsn(database="template1")}
    done = run("check", "--json", environment=environment)
    assert done.returncode == 78
    assert done.stderr == ""
    results = json.loads(done.stdout)
    assert {tuple(result) for result in results} == {("level", "name", "message", "hint")}
    faults = {result["name"]: result for result in results if result["level"] == "fault"}
    assert set(faults) == {
        "SEALING_KEYS", "FINGERPRINT_KEY", "KOMPAR_KEYS", "KOMPAR_TOKENS", "SOLARIS_SECRETS", "CONSOLE_PASSWORD",
        "redis", "postgres migrations",
    }  # fmt: skip
    assert all(result["hint"] for result in faults.values())
    assert "needed by ingest, worker" in faults["SEALING_KEYS"]["message"]


def test_check_reports_nothing_about_what_it_could_not_read() -> None:
    environment = {"INGEST_BIND": "foo", "REDIS_URL": f"redis://{NOWHERE}/0", "ALLOW_NON_DURABLE": "perhaps"}
    done = run("check", "ingest", "--json", environment=environment)
    assert done.returncode == 78
    results = {result["name"]: result["level"] for result in json.loads(done.stdout)}
    assert results.keys() >= {"INGEST_BIND", "ALLOW_NON_DURABLE", "SEALING_KEYS", "redis"}
    assert results.pop("modules") == "ok"
    assert set(results.values()) == {"fault"}


def test_check_of_an_unreachable_server_exits_1(healthy: HealthySetup) -> None:
    done = run("check", "beat", environment=healthy.environment | {"CELERY_BROKER_URL": f"redis://{NOWHERE}/0"})
    assert done.returncode == 1
    assert "broker-unreachable" in done.stdout


def test_check_of_one_process_checks_only_what_it_uses(healthy: HealthySetup) -> None:
    done = run("check", "beat", "--json", environment={"REDIS_URL": healthy.environment["REDIS_URL"]})
    assert done.returncode == 0, done.stdout
    assert "postgres" not in done.stdout
    assert "SEALING_KEYS" not in done.stdout
    assert run("check", "nobody", environment={}).returncode == 2


def test_check_of_migrate_before_the_first_migration_exits_0(healthy: HealthySetup) -> None:
    environment = {"DATABASE_URL": healthy.dsn(database="template1"), "ROLE_PREFIX": "another"}
    done = run("check", "migrate", environment=environment)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("is_volume", "level"), [(False, "warning"), (True, "ok")])
def test_check_of_a_file_for_its_group_depends_on_who_else_has_the_group(
    tmp_path: Path, is_volume: bool, level: str
) -> None:
    """A volume of Kubernetes is read-only, and its files belong to the pod's own group."""
    (tmp_path / "password").write_text("p" * 20)
    (tmp_path / "password").chmod(0o440)
    mount = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} && " if is_volume else ""
    line = f"{mount}exec {' '.join(command('check', 'console', '--json'))}"
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-ec", line],
        env=bare_environment() | {"CONSOLE_PASSWORD_FILE": str(tmp_path / "password")},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [each for each in json.loads(done.stdout) if "_FILE" in each["name"] or each["name"] == "secret files"]
    assert [each["level"] for each in found] == [level], done.stdout + done.stderr
