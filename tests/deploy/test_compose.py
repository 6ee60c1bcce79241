"""docker-compose.yml: valid, hardened, and every name in it is one that something reads."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import kvitto
from config.celery import worker_settings
from config.environment import Environment
from config.granian import server_settings
from config.settings import IngestSettings
from tests.deploy.balancer import TEMPLATE
from tests.deploy.composition import FILE, MOUNTED, OURS, SERVICES, composition, interpolated, read
from tests.kvitto_process import ROOT

EVERY = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
EVERY_OF_OURS = pytest.mark.parametrize("service", OURS.values(), ids=OURS)


def seconds(text: str) -> int:
    """Return a duration of the file in seconds."""
    return int(text.removesuffix("s"))


def test_it_fits_the_compose_specification() -> None:
    line = [f"{Path(sys.executable).parent}/check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@EVERY
def test_it_is_hardened(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert service["stop_grace_period"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices", "env_file"}


@pytest.mark.parametrize("name", SERVICES)
def test_it_comes_back_and_tells_its_health(name: str) -> None:
    service, once = SERVICES[name], name in ("migrate", "operator", "reseal", "subscriptions")
    assert service.get("profiles") == (["operator"] if once and name != "migrate" else None)
    assert service["restart"] == ("no" if once else "unless-stopped")
    assert once or service["healthcheck"]["test"]


@EVERY
def test_its_image_is_ours_or_of_one_version(service: dict[str, Any]) -> None:
    assert service["image"] == "kvitto:latest" or re.search(r":\d+\.\d+\.\d+|:18\.\d+", service["image"])


@EVERY
def test_what_it_mounts_is_there(service: dict[str, Any]) -> None:
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in composition()["volumes"]


@EVERY
def test_it_waits_for_what_has_a_health_to_wait_for(service: dict[str, Any]) -> None:
    for name, wanted in service.get("depends_on", {}).items():
        condition = "service_healthy" if "healthcheck" in SERVICES[name] else "service_completed_successfully"
        assert wanted == {"condition": condition}


@EVERY
def test_its_secrets_are_files_and_each_is_used(service: dict[str, Any]) -> None:
    used = set(re.findall(MOUNTED + r"([\w.]+)", str(service)))
    assert used == set(service.get("secrets", ()))
    for name, value in service.get("environment", {}).items():
        assert name.endswith(("_FILE", "_CERTIFICATE", "_KEY")) == value.startswith(MOUNTED), name


@EVERY_OF_OURS
def test_its_command_is_one_of_kvittos(service: dict[str, Any]) -> None:
    name, *arguments = service["command"]
    found = kvitto.get_command(kvitto.make_context("kvitto", [name]), name)
    assert found is not None
    found.make_context(name, list(arguments))


@EVERY_OF_OURS
def test_every_name_of_its_environment_is_read(service: dict[str, Any]) -> None:
    environment = Environment({name: value for name, value in service["environment"].items() if name == "PROVIDERS"})
    read(service, environment)
    unread = service["environment"].keys() - environment.names_read - {"PROMETHEUS_MULTIPROC_DIR"}
    assert not unread


def test_only_the_balancer_and_the_consoles_loopback_are_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"nginx": ["443:8443"], "console": ["127.0.0.1:8081:8081"]}


def test_servers_are_reached_by_those_who_need_them_and_have_no_way_out() -> None:
    def on(network: str) -> set[str]:
        return {name for name, service in SERVICES.items() if network in service["networks"]}

    workers = {name for name in SERVICES if name.startswith("worker-")}
    ingests = {"ingest-1", "ingest-2"}
    assert on("edge") == {"nginx", "beat"} | ingests  # beat sends canaries
    assert on("inbox") == {"redis", "beat", "operator"} | ingests | workers
    assert on("ledger") == {"postgres", "console", "migrate", "operator", "reseal", "subscriptions"} | ingests | workers
    assert on("public") == {"nginx", "subscriptions"}  # providers' APIs are outside
    assert all(composition()["networks"][name]["internal"] for name in ("edge", "inbox", "ledger"))


def test_the_balancer_knows_both_ingest_processes_by_their_addresses() -> None:
    settings = SERVICES["nginx"]["environment"]
    for number in (1, 2):
        address = SERVICES[f"ingest-{number}"]["networks"]["edge"]["ipv4_address"]
        assert settings[f"BALANCER_INGEST_{number}"] == f"{address}:8080"
    assert set(re.findall(r"\$\{(BALANCER_[A-Z_0-9]+)\}", TEMPLATE.read_text())) == {
        name for name in settings if name.startswith("BALANCER_")
    }
    assert re.match(settings["NGINX_ENVSUBST_FILTER"], "BALANCER_INGEST_1")


def test_every_provider_has_a_worker() -> None:
    served = IngestSettings.read(Environment({})).providers
    assert {f"worker-{name}" for name in served} == {name for name in SERVICES if name.startswith("worker-")}
    for name in served:
        assert SERVICES[f"worker-{name}"]["command"] == ["worker", "--provider", name]
    assert SERVICES["ingest-1"]["environment"]["PROVIDERS"] == SERVICES["beat"]["environment"]["PROVIDERS"]
    assert SERVICES["beat"]["environment"]["PROVIDERS"] == ",".join(served)


def test_the_balancer_takes_bodies_as_large_as_ingest_does() -> None:
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", TEMPLATE.read_text())
    assert int(megabytes) * 1024 * 1024 == IngestSettings.read(Environment({})).body_limit_bytes
    assert "BODY_LIMIT_BYTES" not in FILE.read_text()


def test_a_stop_gives_each_the_time_it_takes() -> None:
    granian = server_settings(("127.0.0.1", 1), 1)["workers_kill_timeout"]
    (nginx,) = re.findall(r"worker_shutdown_timeout (\d+)s;", TEMPLATE.read_text())
    grace = {name: seconds(service["stop_grace_period"]) for name, service in SERVICES.items()}
    assert min(grace["ingest-1"], grace["console"]) > granian + 1
    assert grace["worker-kompar"] > worker_settings("")["task_time_limit"]
    assert grace["nginx"] > int(nginx)


def test_every_name_that_can_be_set_is_in_the_example_with_its_default() -> None:
    example = dict(re.findall(r"^# (\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert example.keys() == interpolated()
    for name, value in example.items():
        assert f"${{{name}:-{value}}}" in FILE.read_text()
