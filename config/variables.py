"""Which environment variables count: Kvitto's own settings, and those of the operating system.

The libraries read a hundred others, among them names that many programs use: BROKER_URL and DJANGO_SETTINGS_MODULE
(Celery), PGHOST and PGOPTIONS (libpq), FLASK_DEBUG, GRANIAN_RELOAD, PYTHONPATH. Each would change where a process
connects, or what it runs, without a setting that says so. So every command removes what is not listed here before it
imports a library.
"""

import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

from config import declarations

# Starts Python without the current folder on its module search path. remove_foreign_variables sets PYTHONPATH.
PYTHON = (sys.executable, "-P")
# Where this code is: a checkout, or the site-packages of an environment.
_ROOT = Path(__file__).parents[1]

SETTINGS = frozenset(setting.name for setting in declarations.SETTINGS)

_SYSTEM = frozenset({
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "SUDO_USER", "TEMP", "TMP", "TMPDIR", "TZ", "USER",
    "COLORTERM", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TERM", "_KVITTO_COMPLETE",  # the terminal
    "SSL_CERT_DIR", "SSL_CERT_FILE",
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",  # for the providers' APIs; lower case counts as well
})  # fmt: skip
# Locale, the loader of shared libraries on Linux and macOS, the allocator, and the tool that measures test coverage.
_SYSTEM_PREFIXES = ("LC_", "LD_", "DYLD_", "MALLOC_", "GLIBC_TUNABLES", "COVERAGE_")


def setting_of(name: str) -> str:
    """Return the setting that a variable gives: NAME for NAME and for NAME_FILE."""
    return name if name in SETTINGS else name.removesuffix("_FILE")


def is_setting(name: str, providers: Iterable[str]) -> bool:
    """Return whether a variable gives a setting of Kvitto or of one of these providers."""
    setting = setting_of(name)
    return setting in SETTINGS or setting.startswith(tuple(f"{provider.upper()}_" for provider in providers))


def remove_foreign_modules(variables: Mapping[str, str], path: list[str]) -> None:
    """Remove the current folder, and what PYTHONPATH names, from a module search path."""
    # An empty item of PYTHONPATH stands for the current folder.
    foreign = {os.path.abspath(item) for item in variables.get("PYTHONPATH", ".").split(os.pathsep)}
    current = path[:1] == [""] or path[:1] == [os.getcwd()]  # `python -m` puts the current folder first
    path[:] = [item for item in path[current:] if os.path.abspath(item) not in foreign]


def remove_foreign_variables(variables: MutableMapping[str, str], path: list[str]) -> set[str]:
    """Keep only settings and what the operating system defines in an environment; return the names of the others.

    A checkout goes first on the module search path, and into PYTHONPATH: processes that are started under this
    environment run the same code as this one.
    """
    # Settings of a provider begin with its name. Nothing is imported yet.
    providers = [entry.name for entry in os.scandir(_ROOT / "app" / "providers") if entry.is_dir()]
    given = set(variables)
    for name in given:
        if not (name.upper() in _SYSTEM or name.startswith(_SYSTEM_PREFIXES) or is_setting(name, providers)):
            del variables[name]
    if _ROOT.name not in ("site-packages", "dist-packages"):
        path.insert(0, str(_ROOT))
        variables["PYTHONPATH"] = str(_ROOT)
    return given - variables.keys()
