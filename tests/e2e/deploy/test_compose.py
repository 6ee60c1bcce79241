"""docker-compose.yml is valid and hardened, and something reads every name in it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import kvitto
from config.celery import worker_settings
from config.environment import Environment
from config.granian import WORKERS_KILL_TIMEOUT
from config.redis_address import RedisAddress
from config.settings import IngestSettings
from tests.e2e.deploy.balancer import CADDYFILE, RUN
from tests.e2e.deploy.composition import FILE, MOUNTED, OURS, SERVICES, composition, interpolated, read
from tests.support.kvitto_process import ROOT

MONITORING = {"prometheus", "alertmanager", "node-exporter", "grafana"}
# Grafana's own configuration names its password.
DATASOURCES = (ROOT / "deploy/monitoring/grafana/datasources/kvitto.yml").read_text()
EVERY = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
EVERY_OF_OURS = pytest.mark.parametrize("service", OURS.values(), ids=OURS)


def seconds(text: str) -> int:
    """Return a duration of the file in seconds."""
    return int(text.removesuffix("s"))


def test_file_matches_the_compose_specification() -> None:
    line = [f"{Path(sys.executable).parent}/check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@EVERY
def test_service_is_hardened(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert service["stop_grace_period"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if service["image"].startswith("caddy:") else [])
    assert not service.keys() & {"privileged", "network_mode", "pid", "devices", "env_file"}


@pytest.mark.parametrize("name", SERVICES)
def test_service_restarts_and_has_a_health_check(name: str) -> None:
    commands = ("migrate", "operator", "privacy", "rejected", "reseal", "subscriptions")
    service, once = SERVICES[name], name in commands
    profile = "operator" if once and name != "migrate" else "monitoring" if name in MONITORING else None
    assert service.get("profiles") == (profile and [profile])
    assert service["restart"] == ("no" if once else "unless-stopped")
    assert once or service["healthcheck"]["test"]


@EVERY
def test_image_is_ours_or_has_a_version_and_a_digest(service: dict[str, Any]) -> None:
    pinned = r"[a-z/-]+:v?\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}"
    assert service["image"] == "kvitto:latest" or re.fullmatch(pinned, service["image"])


@EVERY
def test_mounted_source_exists(service: dict[str, Any]) -> None:
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        named = composition()["volumes"].keys() | {"/"}  # node-exporter looks at the disks
        assert (ROOT / source).exists() if source.startswith(".") else source in named
        assert source != "/" or volume.endswith(":ro,rslave")


@EVERY
def test_service_waits_for_the_health_of_its_dependencies(service: dict[str, Any]) -> None:
    for name, wanted in service.get("depends_on", {}).items():
        condition = "service_healthy" if "healthcheck" in SERVICES[name] else "service_completed_successfully"
        assert wanted == {"condition": condition}


@EVERY
def test_secrets_are_files_and_each_is_used(service: dict[str, Any]) -> None:
    more = DATASOURCES if service["image"].startswith("grafana/") else ""
    used = set(re.findall(MOUNTED + r"([\w.]+)", str(service) + more))
    # Named only once a variable is set, which brings the settings beside them.
    conditional = dict(re.findall(rf'(\w+_FILE): "\$\{{\w+:\+{MOUNTED}(\w+)\}}"', FILE.read_text()))
    assert used == set(service.get("secrets", ())) - set(conditional.values())
    for name, value in service.get("environment", {}).items() - dict.fromkeys(conditional, "").items():
        assert name.endswith(("_FILE", "_CERTIFICATE", "_KEY")) == value.startswith(MOUNTED), name


@EVERY_OF_OURS
def test_command_is_one_of_kvittos(service: dict[str, Any]) -> None:
    name, *arguments = service["command"]
    found = kvitto.get_command(kvitto.make_context("kvitto", [name]), name)
    assert found is not None
    found.make_context(name, list(arguments))


@EVERY_OF_OURS
def test_every_variable_of_a_service_is_read(service: dict[str, Any]) -> None:
    environment = Environment({name: value for name, value in service["environment"].items() if name == "PROVIDERS"})
    read(service, environment)
    unread = service["environment"].keys() - environment.names_read
    assert not unread


def test_published_ports_are_the_balancers_and_those_of_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    loopback = {
        "console": ["127.0.0.1:8081:8081"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert published == {"caddy": ["443:8443"]} | loopback


def test_servers_are_reached_by_their_clients_only_and_not_from_outside() -> None:
    def on(network: str) -> set[str]:
        return {name for name, service in SERVICES.items() if network in service["networks"]}

    workers = {name for name in SERVICES if name.startswith("worker-")}
    ingests = {"ingest-1", "ingest-2"}
    assert on("edge") == {"caddy", "beat"} | ingests  # beat sends canaries
    assert on("inbox") == {"redis", "beat", "operator", "privacy", "console"} | ingests | workers
    assert on("monitoring") == {"caddy", "beat", "console"} | ingests | workers | MONITORING
    commands = {"migrate", "operator", "privacy", "rejected", "reseal", "subscriptions"}
    assert on("ledger") == {"postgres", "console", "grafana"} | commands | ingests | workers
    # Providers' APIs are outside, and so is who is notified of alerts.
    assert on("public") == {"caddy", "subscriptions", "alertmanager"}
    internal = ("edge", "inbox", "ledger", "monitoring")
    assert all(composition()["networks"][name]["internal"] for name in internal)


def test_balancer_has_the_addresses_of_both_ingest_processes() -> None:
    settings = SERVICES["caddy"]["environment"]
    for number in (1, 2):
        assert settings[f"BALANCER_INGEST_{number}"] == f"ingest-{number}:8080"
        assert f"ingest-{number}" in SERVICES
    assert set(re.findall(r"\{\$(BALANCER_[A-Z_0-9]+)\}", CADDYFILE.read_text())) == {
        name for name in settings if name.startswith("BALANCER_")
    }
    assert SERVICES["caddy"]["command"] == [
        "caddy",
        *(part.replace(str(CADDYFILE.parent), "/etc/caddy") for part in RUN),
    ]


def test_provider_has_a_worker() -> None:
    served = IngestSettings.read(Environment({})).providers
    assert {f"worker-{name}" for name in served} == {name for name in SERVICES if name.startswith("worker-")}
    for name in served:
        assert SERVICES[f"worker-{name}"]["command"] == ["worker", "--provider", name]
    assert SERVICES["ingest-1"]["environment"]["PROVIDERS"] == SERVICES["beat"]["environment"]["PROVIDERS"]
    assert SERVICES["beat"]["environment"]["PROVIDERS"] == ",".join(served)


def test_balancer_buffers_bodies_as_large_as_ingest_accepts() -> None:
    (megabytes,) = re.findall(r"request_buffers (\d+)MiB$", CADDYFILE.read_text(), re.MULTILINE)
    assert int(megabytes) * 1024 * 1024 > IngestSettings.read(Environment({})).body_limit_bytes
    assert "BODY_LIMIT_BYTES" not in FILE.read_text()


def test_grace_period_of_a_stop_is_longer_than_the_stop() -> None:
    (caddy,) = re.findall(r"grace_period (\d+)s$", CADDYFILE.read_text(), re.MULTILINE)
    drain = IngestSettings.read(Environment({})).drain_seconds
    grace = {name: seconds(service["stop_grace_period"]) for name, service in SERVICES.items()}
    assert grace["ingest-1"] > drain + WORKERS_KILL_TIMEOUT + 1
    assert grace["console"] > WORKERS_KILL_TIMEOUT + 1
    assert grace["worker-kompar"] > worker_settings(RedisAddress())["task_time_limit"]
    assert grace["caddy"] > int(caddy)


def test_example_lists_every_variable_with_its_default() -> None:
    example = dict(re.findall(r"^# (\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert example.keys() == interpolated()
    for name, value in example.items():
        assert f"${{{name}:-{value}}}" in FILE.read_text()
