"""The Helm chart renders what Kubernetes accepts, is hardened, and names only what exists."""

import itertools
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from redis import Redis

from app.cli.main import kvitto
from app.console.app import create_app
from app.inbox.stream import Inbox
from app.storage.connection import Connection
from config.celery import worker_settings
from config.declarations import SETTINGS
from config.environment import Environment
from config.granian import WORKERS_KILL_TIMEOUT
from config.redis_address import RedisAddress
from config.settings import ConsoleSettings, IngestSettings
from tests.e2e.deploy import composition
from tests.support.chart import CHART, VALUES, Object, faults, lint, pod_labels, pod_specs, read_yaml, render, values_of
from tests.support.kvitto_process import ROOT

SETS = ("default", *VALUES)
PROVIDERS = IngestSettings.read(Environment({})).providers
EVERY_SET = pytest.mark.parametrize("name", SETS)
CUSTOM = ("keda.sh/", "monitoring.coreos.com/", "gateway.networking.k8s.io/")
FOLDER = "/run/secrets/kvitto/"
# Secrets that most installations do not have.
OPTIONAL = {
    "redis_sentinel_password", "celery_broker_url", "otel_exporter_otlp_headers", "oidc_client_secret", "ca_file",
}  # fmt: skip
# Settings that compose takes from the environment, and the chart from its value `settings`.
CHOSEN = {
    "TRUSTED_PROXIES", "QUIET_HOURS", "TIME_ZONE", "CONSOLE_URL", "OIDC_ISSUER", "OIDC_CLIENT_ID",
    "OIDC_CLIENT_SECRET_FILE", "OIDC_ROLES", "OIDC_ROLES_CLAIM", "OIDC_NAME_CLAIM", "OIDC_SCOPES",
    "CERTIFICATE_URL",
}  # fmt: skip
KEDA = {"keda_redis_username", "keda_redis_password", "keda_database_url"}
# Settings that the chart gives itself, or that only commands and servers of one machine have.
OTHER_SETTINGS = {
    "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "PROVIDERS", "DRAIN_SECONDS", "INGEST_BIND", "CONSOLE_BIND",
    "INGEST_URL", "CA_FILE", "INGEST_TLS_CERT", "INGEST_TLS_KEY", "PUBLIC_URL", "KVITTO_OPERATOR", "KVITTO_DATA",
    "METRICS_BIND",
}  # fmt: skip


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Object]]:
    """The objects of each set of values."""
    return {name: render(values_of(name)) for name in SETS}


@pytest.fixture
def objects(rendered: dict[str, list[Object]], name: str) -> list[Object]:
    """The objects of the set `name`."""
    return rendered[name]


@pytest.fixture
def distinct(rendered: dict[str, list[Object]]) -> list[Object]:
    """Each object of any set once."""
    return list({json.dumps(each): each for each in itertools.chain(*rendered.values())}.values())


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def processes(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield each process with its container; not the pods that check."""
    for each, spec in pod_specs(objects):
        if each["kind"] != "Pod":
            yield pod_labels(each)["app.kubernetes.io/component"], spec["containers"][0]


def environment(container: Object) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


def secret_keys(container: Object) -> set[str]:
    values = environment(container).values()
    return {value.removeprefix(FOLDER) for value in values if value.startswith(FOLDER)}


# ---- Kubernetes


@pytest.mark.parametrize("version", ["1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"])
def test_objects_are_what_kubernetes_knows(version: str, distinct: list[Object]) -> None:
    own = [each for each in distinct if not each["apiVersion"].startswith(CUSTOM)]
    assert len(own) > 60
    assert [fault for each in own for fault in faults(version, each)] == []


def test_custom_resources_match_their_definitions(distinct: list[Object]) -> None:
    (schema,) = read_yaml((ROOT / "tests" / "support" / "custom_resources.yaml").read_text())
    custom = [each for each in distinct if each["apiVersion"].startswith(CUSTOM)]
    assert {each["kind"] for each in custom} >= {"ScaledObject", "PodMonitor", "PrometheusRule", "HTTPRoute"}
    validator = Draft202012Validator(schema)
    assert [error.message for each in custom for error in validator.iter_errors(each)] == []


def test_helm_has_nothing_to_warn_of() -> None:
    assert [message for message in lint() if message["severity"] > 1] == []


def test_chart_has_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (chart,) = read_yaml((CHART / "Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {project["version"]}


@EVERY_SET
def test_names_are_unique_and_short_enough(objects: list[Object]) -> None:
    names = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    assert all(len(each) <= 63 for _, _, each in names)


# ---- Values


def closed_places(values: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the places of the values that have a fixed set of names."""
    free = {("providers",), ("secrets", "from"), ("scheduling",)}
    if isinstance(values, dict) and place[-1:] not in (("annotations",), ("labels",), ("requests",), ("limits",)):
        if place not in free:
            yield place
        for key, value in values.items():
            yield from closed_places(value, (*place, key))


(DEFAULTS,) = read_yaml((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("place", [*closed_places(DEFAULTS)], ids=lambda place: ".".join(place) or "top")
def test_unknown_value_is_refused(place: tuple[str, ...]) -> None:
    values: Object = {"unheard": 1}
    for key in reversed(place):
        values = {key: values}
    with pytest.raises(Exception, match="unheard"):
        render(values)


@pytest.mark.parametrize(
    "values",
    [
        {"settings": {"BODY_LIMIT_BYTES": 100}},
        {"providers": {"kompar": {"replicas": 0}}},
        {"worker": {"autoscaling": {"minReplicas": 0}}},
        {"worker": {"autoscaling": {"enabled": True}}},
        {"gateway": {"enabled": True}},
        {"image": {"digest": "latest"}},
        {"secrets": {"optional": ["database_url"]}},
    ],
    ids=str,
)
def test_value_that_cannot_work_is_refused(values: Object) -> None:
    with pytest.raises(Exception, match=r"values|address"):
        render(values)


def test_every_setting_can_be_given() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    given = schema["properties"]["settings"]["properties"].keys()
    public = {setting.name for setting in SETTINGS if not setting.secret}
    assert public - OTHER_SETTINGS == given


# ---- What the chart names exists


@EVERY_SET
def test_every_command_is_one_of_kvittos(objects: list[Object]) -> None:
    for _, spec in pod_specs(objects):
        (container,) = spec["containers"]
        parse(container["args"])
        if probe := container.get("livenessProbe", {}).get("exec"):
            assert probe["command"][0] == "kvitto"
            parse(probe["command"][1:])


def parse(line: list[str]) -> None:
    """Parse a command line as Kvitto does, and run nothing."""
    command: Any = kvitto
    context = kvitto.make_context("kvitto", list(line))
    while hasattr(command, "get_command"):
        name, *line = line
        command = command.get_command(context, name)
        assert command is not None, name
        context = command.make_context(name, list(line), parent=context)


@EVERY_SET
def test_every_setting_is_read_by_its_process(objects: list[Object], name: str) -> None:
    for process, container in processes(objects):
        given = environment(container)
        read = Environment({"PROVIDERS": given.get("PROVIDERS", "kompar")})
        composition.read({"command": container["args"], "environment": given}, read)
        for_all = values_of(name).get("settings", {}).keys() | {"CA_FILE"}
        assert given.keys() - read.names_read - for_all == set(), process
        assert [fault for fault in read.faults if fault.name.removesuffix("_FILE") not in names_of(given)] == []


def names_of(given: dict[str, str]) -> set[str]:
    return {each.removesuffix("_FILE") for each in given}


def test_processes_have_the_secrets_and_settings_that_they_have_in_compose(rendered: dict[str, list[Object]]) -> None:
    for process, container in processes(rendered["default"]):
        service = composition.SERVICES["ingest-1" if process == "ingest" else process]
        assert secret_keys(container) == set(service["secrets"]) - OPTIONAL, process
        settings = service["environment"].keys() - CHOSEN
        assert environment(container).keys() - {"DRAIN_SECONDS"} == settings, process
        assert container["args"][: len(service["command"])] == service["command"]


@EVERY_SET
def test_mounted_keys_are_those_that_the_process_reads(objects: list[Object]) -> None:
    known = composition.composition()["secrets"].keys() | OPTIONAL | KEDA
    for _, spec in pod_specs(objects):
        (container,) = spec["containers"]
        (volume,) = (each for each in spec["volumes"] if each["name"] == "secrets")
        paths = [item["path"] for each in volume["projected"]["sources"] for item in each["secret"]["items"]]
        assert sorted(paths) == sorted(secret_keys(container))
        assert set(paths) <= known
        assert {"name": "secrets", "mountPath": FOLDER.rstrip("/"), "readOnly": True} in container["volumeMounts"]


def test_a_key_may_be_in_another_secret(rendered: dict[str, list[Object]]) -> None:
    ingest = of_kind(rendered["managed"], "Deployment")["loans-kvitto-ingest"]["spec"]["template"]["spec"]
    (volume,) = (each for each in ingest["volumes"] if each["name"] == "secrets")
    sources = {each["secret"]["items"][0]["path"]: each["secret"] for each in volume["projected"]["sources"]}
    assert sources["redis_url"] == {"name": "managed-redis", "items": [{"key": "url", "path": "redis_url"}]}
    assert sources["sealing_keys"]["name"] == "kvitto-generated"


def test_every_provider_has_its_secrets_and_a_worker(rendered: dict[str, list[Object]]) -> None:
    assert sorted(DEFAULTS["providers"]) == sorted(PROVIDERS)
    for process, container in processes(rendered["default"]):
        served = environment(container).get("PROVIDERS")
        if process.startswith("worker-"):
            assert container["args"][:3] == ["worker", "--provider", process.removeprefix("worker-")]
            assert served == process.removeprefix("worker-")
        elif process != "migrate":
            assert served == ",".join(sorted(PROVIDERS))


@EVERY_SET
def test_ports_are_those_that_processes_listen_on(objects: list[Object]) -> None:
    binds = {("ingest", "http"): "INGEST_BIND", ("console", "http"): "CONSOLE_BIND"}
    served = {}
    for process, container in processes(objects):
        ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
        for port, number in ports.items():
            assert environment(container)[binds.get((process, port), "METRICS_BIND")].rpartition(":")[2] == str(number)
        assert ("metrics" in ports) == (process != "migrate")
        probes = [value for key, value in container.items() if key.endswith("Probe") and "httpGet" in value]
        assert {each["httpGet"]["port"] for each in probes} <= ports.keys()
        served[process] = ports
    for service in of_kind(objects, "Service").values():
        process = service["spec"]["selector"]["app.kubernetes.io/component"]
        (port,) = service["spec"]["ports"]
        assert port["port"] == served[process][port["targetPort"]]
    for policy in of_kind(objects, "NetworkPolicy").values():
        process = policy["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
        admitted = {port["port"] for each in policy["spec"].get("ingress") or () for port in each["ports"]}
        assert admitted <= served.get(process, {}).keys()
    beat = dict(processes(objects))["beat"]
    assert environment(beat)["INGEST_URL"] == f"http://loans-kvitto-ingest:{served['ingest']['http']}"


@EVERY_SET
def test_paths_of_probes_and_routes_exist(objects: list[Object]) -> None:
    variables = {"DATABASE_URL": "postgresql://host/name", "REDIS_URL": "redis://host", "CONSOLE_PASSWORD": "x" * 16}
    paths = {str(rule) for rule in create_app(lambda: ConsoleSettings.load(variables)).url_map.iter_rules()}
    for process, container in processes(objects):
        probes = [value["httpGet"] for key, value in container.items() if key.endswith("Probe") and "httpGet" in value]
        known = paths if process == "console" else {"/livez", "/readyz"}
        assert {each["path"] for each in probes} <= known
    for monitor in of_kind(objects, "PodMonitor").values():
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert (endpoint["port"], endpoint["path"]) == ("metrics", "/metrics")
    for ingress in of_kind(objects, "Ingress").values():
        (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
        assert path["path"] == "/webhooks/"
        assert path["backend"]["service"]["name"] in of_kind(objects, "Service")
    for route in of_kind(objects, "HTTPRoute").values():
        assert route["spec"]["rules"][0]["backendRefs"][0]["name"] in of_kind(objects, "Service")


def test_balancer_takes_bodies_as_large_as_ingest(rendered: dict[str, list[Object]]) -> None:
    (ingress,) = of_kind(rendered["production"], "Ingress").values()
    size = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert int(size.removesuffix("m")) * 1024 * 1024 > IngestSettings.read(Environment({})).body_limit_bytes


def test_alerts_and_dashboards_are_those_of_compose(rendered: dict[str, list[Object]]) -> None:
    folder = ROOT / "deploy" / "monitoring"
    (rules,) = of_kind(rendered["production"], "PrometheusRule").values()
    assert [rules["spec"]] == read_yaml((folder / "alerts.yml").read_text())
    dashboards = of_kind(rendered["production"], "ConfigMap")["loans-kvitto-dashboards"]["data"]
    files = (folder / "grafana" / "dashboards").glob("*.json")
    assert {name: json.loads(text) for name, text in dashboards.items()} == {
        path.name: json.loads(path.read_text()) for path in files
    }
    assert 'job="kvitto"' in str(rules)
    (monitor,) = of_kind(rendered["production"], "PodMonitor").values()
    assert {"targetLabel": "job", "replacement": "kvitto"} in monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]


def test_keda_reads_the_backlog(rendered: dict[str, list[Object]], connection: Connection) -> None:
    scaled = of_kind(rendered["production"], "ScaledObject")
    assert scaled.keys() == {f"loans-kvitto-worker-{name}" for name in PROVIDERS}
    logins = of_kind(rendered["production"], "TriggerAuthentication")
    assert {each["key"] for login in logins.values() for each in login["spec"]["secretTargetRef"]} == KEDA
    for name in PROVIDERS:
        spec = scaled[f"loans-kvitto-worker-{name}"]["spec"]
        assert {each["authenticationRef"]["name"] for each in spec["triggers"]} == logins.keys()
        stream, ledger = (each["metadata"] for each in spec["triggers"])
        assert stream["stream"] in Inbox(Redis(), name).keys
        assert stream.keys().isdisjoint({"consumerGroup", "lagCount"})
        connection.execute("SET ROLE kvitto_dashboard")
        (row,) = connection.execute(ledger["query"]).fetchall()
        assert list(row) == [0]
        assert spec["minReplicaCount"] >= 1
        assert spec["scaleTargetRef"]["name"] in of_kind(rendered["production"], "Deployment")


# ---- Safety


@EVERY_SET
def test_pods_are_hardened(objects: list[Object]) -> None:
    for _, spec in pod_specs(objects):
        security = spec["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"], security["runAsNonRoot"]) == (10001, 10001, True)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert not any("valueFrom" in each for each in container["env"])
        assert "envFrom" not in container
        assert all("emptyDir" in each or "projected" in each for each in spec["volumes"])
    assert not of_kind(objects, "Secret")


@EVERY_SET
def test_accounts_have_no_token_and_exist(objects: list[Object]) -> None:
    accounts = of_kind(objects, "ServiceAccount")
    assert all(each["automountServiceAccountToken"] is False for each in accounts.values())
    for each, spec in pod_specs(objects):
        # A hook before the installation can use nothing of the chart.
        before = each["kind"] == "Job"
        assert spec["serviceAccountName"] in ({"default"} if before else accounts)


@EVERY_SET
def test_each_selector_finds_the_pods_of_one_process(objects: list[Object]) -> None:
    pods = [pod_labels(each) for each, _ in pod_specs(objects)]
    for kind in ("Deployment", "Service", "PodDisruptionBudget"):
        for found in of_kind(objects, kind).values():
            selector = found["spec"]["selector"]
            wanted = selector.get("matchLabels", selector).items()
            (labels,) = (each for each in pods if wanted <= each.items())
            assert found["metadata"]["name"] == f"loans-kvitto-{labels['app.kubernetes.io/component']}"


def test_migration_is_a_hook_that_argo_can_do_without(rendered: dict[str, list[Object]]) -> None:
    (hook,) = of_kind(rendered["default"], "Job").values()
    assert hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (job,) = of_kind(rendered["argo"], "Job").values()
    assert job["metadata"]["annotations"] == {"argocd.argoproj.io/hook": "PreSync"}
    assert job["metadata"]["name"] == "loans-kvitto-migrate-1"


@EVERY_SET
def test_a_stop_has_the_time_that_it_takes(objects: list[Object]) -> None:
    by_process = {pod_labels(each)["app.kubernetes.io/component"]: spec for each, spec in pod_specs(objects)}
    ingest, (container,) = by_process["ingest"], by_process["ingest"]["containers"]
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = int(environment(container)["DRAIN_SECONDS"])
    assert sleep > 0
    assert ingest["terminationGracePeriodSeconds"] > sleep + drain + WORKERS_KILL_TIMEOUT + 1
    assert by_process["console"]["terminationGracePeriodSeconds"] > WORKERS_KILL_TIMEOUT + 1
    limit = worker_settings(RedisAddress())["task_time_limit"]
    assert by_process["worker-kompar"]["terminationGracePeriodSeconds"] > limit


@EVERY_SET
def test_an_update_stops_no_ingest_before_another_serves(objects: list[Object]) -> None:
    deployments = of_kind(objects, "Deployment")
    assert deployments["loans-kvitto-ingest"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert deployments["loans-kvitto-beat"]["spec"]["strategy"] == {"type": "Recreate"}
    assert deployments["loans-kvitto-beat"]["spec"]["replicas"] == 1


def test_pods_reach_what_they_need_and_no_more(rendered: dict[str, list[Object]]) -> None:
    policies = of_kind(rendered["production"], "NetworkPolicy")
    default = policies.pop("loans-kvitto-default")["spec"]
    assert "app.kubernetes.io/component" not in default["podSelector"]["matchLabels"]
    assert (default["policyTypes"], default.get("ingress", [])) == (["Ingress", "Egress"], [])
    reached = {name.removeprefix("loans-kvitto-"): reach(each["spec"]) for name, each in policies.items()}
    both = {6379, 5432}
    expected: dict[str, tuple[set[str], set[int]]] = {
        "ingest": ({"beat", "ingress-nginx", "monitoring"}, both),
        "beat": ({"monitoring"}, {6379, 8080}),
        "console": ({"operators", "monitoring"}, both),
        "migrate": (set(), {5432}),
        "check": (set(), both),
    }
    assert reached == expected | {f"worker-{name}": ({"monitoring"}, both) for name in PROVIDERS}


def test_console_reaches_the_identity_provider_if_there_is_one(rendered: dict[str, list[Object]]) -> None:
    policies = of_kind(rendered["managed"], "NetworkPolicy")
    ports = {
        name: [port["port"] for rule in each["spec"]["egress"] for port in rule["ports"]]
        for name, each in policies.items()
    }
    reached = {name for name, found in ports.items() if 443 in found}
    assert reached == {"loans-kvitto-console", "loans-kvitto-check"}


def reach(spec: Object) -> tuple[set[str], set[int]]:
    """Return who may connect to the pods, by component or namespace, and at which ports they may connect to others."""
    callers = set()
    for peer in itertools.chain(*(each["from"] for each in spec["ingress"] or ())):
        labels = (peer.get("podSelector") or peer.get("namespaceSelector"))["matchLabels"]
        callers.add(labels.get("app.kubernetes.io/component") or labels["kubernetes.io/metadata.name"])
    return callers, {port["port"] for each in spec["egress"] for port in each["ports"]}


def test_page_names_the_values_and_keys_that_exist() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    for place in re.findall(r"`((?:[a-z]\w*\.)+[a-zA-Z]\w*)`", page):
        found = DEFAULTS
        for key in place.split("."):
            assert key in found, place
            found = found[key]
    keys = set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))
    mounted = {key for _, container in processes(render({})) for key in secret_keys(container)}
    assert keys == mounted | OPTIONAL | KEDA
