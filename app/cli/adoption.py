"""What commands take over from what runs on this machine: the settings that its data folder tells."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from app.local.data import Data, DataUnusable

_DATABASE = frozenset({"DATABASE_URL", "DATABASE_URL_FILE"})


def adopt(data: Data, apis: bool = False, whole: bool = False) -> None:
    """Take over how to reach what runs, with `apis` the sandbox's too, unless the environment names a database.

    With `whole`, what runs is left alone if the environment names any of its settings: a mix would be neither's.
    """
    if _DATABASE & os.environ.keys():
        return
    published = data.published()
    if not (whole and published.keys() & os.environ.keys()):
        _adopt(published)
    if apis and not overriding(published := data.sandbox.published()):
        _adopt(published)


def overriding(published: Mapping[str, str]) -> list[str]:
    """Return what the environment names of the sandbox's APIs; one name, and none is used: its logins are its own."""
    names = _names(published) - {"TRUSTED_AUTHORITY"}
    return sorted(name for name in os.environ if name.removesuffix("_FILE") in names)


def switched_off(data: Data, url: str) -> str | None:
    """Return why the API at `url` is asked instead of a sandbox that serves the data folder; None if none is."""
    published: Mapping[str, str] = {}
    with suppress(DataUnusable):
        published = data.sandbox.published()
    if not published or _host(url) in map(_host, published.values()):
        return None
    names = overriding(published) or sorted(_DATABASE & os.environ.keys())
    return f"{', '.join(names)} in the environment switch{'es' if len(names) == 1 else ''} the sandbox off"


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _adopt(published: Mapping[str, str]) -> None:
    """Take over what the environment does not name itself, be it as NAME or as NAME_FILE."""
    given = _names(os.environ)
    os.environ |= {name: value for name, value in published.items() if name.removesuffix("_FILE") not in given}


def _names(variables: Iterable[str]) -> set[str]:
    return {name.removesuffix("_FILE") for name in variables}
