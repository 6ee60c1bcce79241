"""What commands take over from what runs on this machine: the settings that its data folder tells."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from app.local.data_folder import DataFolder, DataFolderError
from config.variables import setting_of

_DATABASE = frozenset({"DATABASE_URL", "DATABASE_URL_FILE"})
_REDIS = frozenset({"REDIS_URL", "REDIS_URL_FILE"})
# What names a server of one's own, beside which `kvitto up` is no help.
SERVERS = _DATABASE | _REDIS


def adopt(data: DataFolder, apis: bool = False) -> None:
    """Take over how to reach what runs, with `apis` the sandbox's too, unless the environment names servers.

    A Redis that `kvitto up` was given itself is the one that runs; beside another, all would be a mix of two.
    """
    if _DATABASE & os.environ.keys():
        return
    published = data.published()
    if any(os.environ[name] != published.get(name) for name in _REDIS & os.environ.keys()):
        return
    _adopt(published)
    if apis and not overriding(published := data.sandbox.published()):
        _adopt(published)


def overriding(published: Mapping[str, str]) -> list[str]:
    """Return what the environment names of the sandbox's APIs; one name, and none is used: its logins are its own."""
    names = _names(published) - {"CA_FILE"}
    return sorted(name for name in os.environ if setting_of(name) in names)


def switched_off(data: DataFolder, url: str) -> str | None:
    """Return why the API at `url` is asked instead of a sandbox that serves the data folder; None if none is."""
    published: Mapping[str, str] = {}
    with suppress(DataFolderError):
        published = data.sandbox.published()
    if not published or _host(url) in map(_host, published.values()):
        return None
    names = overriding(published) or sorted(SERVERS & os.environ.keys())
    return f"{', '.join(names)} in the environment switch{'es' if len(names) == 1 else ''} the sandbox off"


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _adopt(published: Mapping[str, str]) -> None:
    """Take over what the environment does not name itself, be it as NAME or as NAME_FILE."""
    given = _names(os.environ)
    os.environ |= {name: value for name, value in published.items() if setting_of(name) not in given}


def _names(variables: Iterable[str]) -> set[str]:
    return {setting_of(name) for name in variables}
