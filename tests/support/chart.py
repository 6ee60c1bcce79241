"""The Helm chart as Helm renders it, and the schemas of that; tests/install/prepare fetches both into .chart."""

import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from ruamel.yaml import YAML

from tests.support.kvitto_process import ROOT

CHART = ROOT / "deploy" / "helm" / "kvitto"
# Files of values beside the default ones.
VALUES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
RELEASE, NAMESPACE = "loans", "lender"
_FETCHED = ROOT / ".chart"
_SCHEMAS = _FETCHED / "kubernetes_validate" / "kubernetes-json-schema"

Object = dict[str, Any]


def read_yaml(text: str) -> list[Any]:
    """Return the documents of a text that are not empty."""
    return [each for each in YAML(typ="safe", pure=True).load_all(text) if each]


def values_of(name: str) -> Object:
    """Return a set of values: `default`, or that of a file."""
    return {} if name == "default" else dict(*read_yaml(VALUES[name].read_text()))


def render(values: Mapping[str, Any]) -> list[Object]:
    """Return the objects that Helm makes of the chart; raises helm_python's HelmError if the values are refused."""
    helm = _helm()
    with helm.Chart.load(str(CHART)) as chart:
        rendered = chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    return [each for path, text in sorted(rendered.items()) if path.endswith(".yaml") for each in read_yaml(text)]


def lint() -> list[Object]:
    """Return what `helm lint` finds; severity 1 is advice, 2 a warning, 3 an error."""
    return list(_helm().lint(str(CHART))["messages"])


def _helm() -> Any:
    if not _SCHEMAS.is_dir():
        raise AssertionError("Helm and Kubernetes' schemas are not here: run tests/install/prepare")
    if str(_FETCHED) not in sys.path:
        sys.path.append(str(_FETCHED))
    import helm_python  # noqa: PLC0415 - not in .venv

    return helm_python


@cache
def _definitions(version: str) -> Registry[Any]:
    return Resource.from_contents(_read(version, "_definitions")) @ Registry()


@cache
def _validator(version: str, kind: str, api_version: str) -> Draft202012Validator:
    group, _, number = api_version.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.partition(".")[0], number]))
    schema = _read(version, name)
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(version))


def _read(version: str, name: str) -> Any:
    return json.loads((_SCHEMAS / f"v{version}.0-local-strict" / f"{name}.json").read_text())


def faults(version: str, found: Object) -> Iterator[str]:
    """Yield what a version of Kubernetes (1.37) rejects about an object of its own, unknown fields included."""
    for error in _validator(version, found["kind"], found["apiVersion"]).iter_errors(found):
        yield f"{found['kind']} {found['metadata']['name']}: {error.json_path}: {error.message}"


def pod_specs(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Yield each object that runs pods with its pods' spec."""
    for each in objects:
        if each["kind"] == "Pod":
            yield each, each["spec"]
        elif "template" in each.get("spec", {}):
            yield each, each["spec"]["template"]["spec"]


def pod_labels(found: Object) -> Object:
    """Return the labels of the pods that an object runs."""
    source = found if found["kind"] == "Pod" else found["spec"]["template"]
    return dict(source["metadata"]["labels"])
