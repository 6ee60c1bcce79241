"""Providers: who sends to us. One folder each; nothing outside it knows its name.

A folder holds `authentication.py` (read by the edge, standard library only) and `events.py` (read by
workers, which open and validate); both have a function `read(environment)`. So has `subscriptions.py`, if the
provider has an API by which it is told where to deliver.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import app.providers
from app.providers.base import Authentication, Provider, Subscriptions
from config.declarations import Setting
from config.environment import Environment


def load_subscriptions(name: str, environment: Environment, tell: Callable[[str], None]) -> Subscriptions | None:
    """Return the provider's API with its credentials; None if it has none. `tell` hears of every wait."""
    module = _module(name, "subscriptions")
    return module.read(environment, tell) if module else None


def load_authentication(name: str, environment: Environment) -> Authentication | None:
    """Return the provider's authentication with its secrets; None, and a fault noted, if there is no such folder."""
    return _read(name, "authentication", environment)  # type: ignore[return-value]


def load(name: str, environment: Environment) -> Provider | None:
    """Return the provider with its keys; None, and a fault noted, if there is no such folder."""
    return _read(name, "events", environment)  # type: ignore[return-value]


def is_known(name: str) -> bool:
    """Tell whether there is a folder of this name."""
    return _module(name, "authentication") is not None


def known() -> list[str]:
    """Return the names of all folders."""
    return sorted(module.name for module in pkgutil.iter_modules(app.providers.__path__) if module.ispkg)


def check_names(names: tuple[str, ...], environment: Environment) -> None:
    """Note a fault for every name that has no folder."""
    for name in names:
        if not is_known(name):
            _unknown(name, environment)


def development_secrets(name: str) -> dict[str, str]:
    """Return made-up values for the provider's secrets, by environment variable; none if there is no such folder."""
    module = _module(name, "settings")
    return module.development_secrets() if module else {}


def declared_settings(name: str) -> tuple[Setting, ...]:
    """Return the settings that the provider's folder declares; none if there is no such folder."""
    module = _module(name, "settings")
    return module.SETTINGS if module else ()


def _read(name: str, part: str, environment: Environment) -> object | None:
    module = _module(name, part)
    if module is None:
        _unknown(name, environment)
        return None
    return module.read(environment)  # type: ignore[no-any-return]


def _unknown(name: str, environment: Environment) -> None:
    environment.fault("PROVIDERS", f"names {name!r}, which has no folder in app/providers", "Correct the name")


def _module(name: str, part: str) -> Any:
    path = f"{app.providers.__name__}.{name}.{part}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise  # the folder is there, something that it imports is not
        return None
