"""Settings that commands take from the data folder of a running `kvitto up`."""

import os
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from app.local.data_folder import DataFolder
from app.local.machine import LocalError
from config.variables import setting_of

_DATABASE = frozenset({"DATABASE_URL", "DATABASE_URL_FILE"})
_REDIS = frozenset({"REDIS_URL", "REDIS_URL_FILE"})
# Variables that name the operator's own servers: then `kvitto up` and its data folder are not used.
SERVERS = _DATABASE | _REDIS


def adopt(data: DataFolder, apis: bool = False) -> None:
    """Add the settings of what runs to the environment, with `apis` the sandbox's too.

    Nothing is added if the environment names a database, or a Redis other than the running one: the result would
    be a mix of two installations.
    """
    if _DATABASE & os.environ.keys():
        return
    published = data.published()
    if any(os.environ[name] != published.get(name) for name in _REDIS & os.environ.keys()):
        return
    _add_missing(published)
    if apis and not _overrides(sandbox := data.sandbox.published()):
        _add_missing(sandbox)


def sandbox_disabled_reason(data: DataFolder, url: str) -> str | None:
    """Return why the API at `url` is called instead of the data folder's running sandbox; None if there is none."""
    published: Mapping[str, str] = {}
    with suppress(LocalError):
        published = data.sandbox.published()
    if not published or urlsplit(url).netloc in {urlsplit(value).netloc for value in published.values()}:
        return None
    names = _overrides(published) or sorted(SERVERS & os.environ.keys())
    return f"{', '.join(names)} in the environment disable{'s' if len(names) == 1 else ''} the sandbox"


def _overrides(published: Mapping[str, str]) -> list[str]:
    """Return the environment's variables that replace a sandbox's settings.

    One is enough to use none of the sandbox's: its logins are valid at its own APIs only.
    """
    names = set(map(setting_of, published)) - {"CA_FILE"}
    return sorted(name for name in os.environ if setting_of(name) in names)


def _add_missing(published: Mapping[str, str]) -> None:
    """Add settings that the environment gives neither as NAME nor as NAME_FILE."""
    given = set(map(setting_of, os.environ))
    os.environ |= {name: value for name, value in published.items() if setting_of(name) not in given}
