"""Finds providers by name. Each is one folder here; no code outside the folder knows the name.

A folder holds `authentication.py` (read by the edge; standard library only) and `events.py` (read by workers), and
`subscriptions.py` if the provider has an API for subscriptions. Each has a function `read(environment, …)`. `demo.py`,
optional, lists what `kvitto demo` sends and shows.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection
from typing import Any

import app.providers
from app.providers.base import Authentication, Demo, Provider, SubscriptionApi
from config.declarations import Setting
from config.environment import Environment


def load_authentication(name: str, environment: Environment) -> Authentication | None:
    """Return the provider's authentication with its secrets; None, with a fault noted, if it has no folder."""
    module = _require(name, "authentication", environment)
    return module.read(environment) if module else None


def load(name: str, environment: Environment) -> Provider | None:
    """Return the provider with its keys; None, with a fault noted, if it has no folder."""
    module = _require(name, "events", environment)
    return module.read(environment) if module else None


def load_subscriptions(name: str, environment: Environment, report: Callable[[str], None]) -> SubscriptionApi | None:
    """Return the provider's API with its credentials, None if it has none. `report` gets a text for every wait."""
    module = _module(name, "subscriptions")
    return module.read(environment, report) if module else None


def is_known(name: str) -> bool:
    """Return whether the provider has a folder."""
    return _module(name, "authentication") is not None


def known() -> list[str]:
    """Return the names of all providers."""
    return sorted(module.name for module in pkgutil.iter_modules(app.providers.__path__) if module.ispkg)


def check_names(names: tuple[str, ...], environment: Environment) -> None:
    """Note a fault for every name that has no folder."""
    for name in names:
        _require(name, "authentication", environment)


def check_limits(limits: Collection[str], environment: Environment) -> None:
    """Note a fault for every provider in RETENTION that has no folder."""
    for name in limits:
        if not is_known(name):
            environment.fault("RETENTION", f"names {name!r}, which has no folder in app/providers", "Correct the name")


def development_secrets(name: str) -> dict[str, str]:
    """Return generated secrets for the provider by environment variable; none if it has no folder."""
    module = _module(name, "settings")
    return module.development_secrets() if module else {}


def demos() -> dict[str, Demo]:
    """Return the parts of `kvitto demo`, by provider; a folder without `demo.py` has none."""
    modules = {name: _module(name, "demo") for name in known()}
    return {name: module.DEMO for name, module in modules.items() if module}


def declared_settings(name: str) -> tuple[Setting, ...]:
    """Return the settings that the provider's folder declares; none if there is no such folder."""
    module = _module(name, "settings")
    return module.SETTINGS if module else ()


def _require(name: str, part: str, environment: Environment) -> Any:
    module = _module(name, part)
    if module is None:
        environment.fault("PROVIDERS", f"names {name!r}, which has no folder in app/providers", "Correct the name")
    return module


def _module(name: str, part: str) -> Any:
    path = f"{app.providers.__name__}.{name}.{part}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise  # the folder exists, but a module that it imports does not
        return None
