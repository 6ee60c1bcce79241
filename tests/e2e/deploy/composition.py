"""docker-compose.yml as an engine reads it: interpolated, merged, defaults taken."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from app.process_settings import read_subscriptions
from app.providers import registry
from config.environment import Environment
from config.settings import (
    BeatSettings,
    ConsoleSettings,
    IngestSettings,
    MigrateSettings,
    RejectedSettings,
    ResealSettings,
    WorkerSettings,
)
from tests.support.kvitto_process import ROOT

FILE = ROOT / "docker-compose.yml"
INTERPOLATED = re.compile(r"\$\$|\$\{(\w+):([-+])([^}]*)\}")
MOUNTED = "/run/secrets/"


READERS: dict[str, Callable[[Environment], object]] = {
    "ingest": IngestSettings.read,
    "worker": WorkerSettings.read,
    "beat": BeatSettings.read,
    "console": ConsoleSettings.read,
    "migrate": MigrateSettings.read,
    "audit": WorkerSettings.read,  # the operator's; it replays and reveals too, as a worker of every provider could
    "subscriptions": read_subscriptions,
    "access-log": WorkerSettings.read,  # for erase and export, which open bodies of every provider
    "reseal": ResealSettings.read,
    "rejected": RejectedSettings.read,
}


@cache
def composition() -> dict[str, Any]:
    """Return the whole file, as it is while no variable is set."""
    text = INTERPOLATED.sub(lambda found: {"-": found[3], "+": ""}.get(found[2], "$"), FILE.read_text())
    return dict(YAML(typ="safe", pure=True).load(text))


SERVICES: dict[str, dict[str, Any]] = composition()["services"]
# Run by hand or once, not for good.
ONCE = {name for name, service in SERVICES.items() if service.get("restart") == "no"}
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("kvitto:")}
# One process of each kind that runs for good.
PROCESSES = [name for name in OURS if name not in ONCE | {"ingest-2"}]


def interpolated() -> set[str]:
    """Return the names that are taken from the environment."""
    return {name for name, _, _ in INTERPOLATED.findall(FILE.read_text()) if name}


def read(service: Mapping[str, Any], environment: Environment) -> None:
    """Read what the service's process reads when it starts."""
    process = service["command"][0]
    READERS[process](environment)
    for name in service["environment"].get("PROVIDERS", "").split(","):
        if process in ("ingest", "rejected"):
            registry.load_authentication(name, environment)
        elif process in ("worker", "audit", "access-log"):
            registry.load(name, environment)


def environment_of(service: Mapping[str, Any], secrets: Path, **more: str) -> dict[str, str]:
    """Return the service's environment with its secrets where they lie on this machine."""
    found = {name: value.replace(MOUNTED, f"{secrets}/") for name, value in service["environment"].items()}
    return found | {name: value for name, value in more.items() if name in found}
