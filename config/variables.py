"""Which environment variables count: Kvitto's own settings, and those of the operating system.

The libraries read a hundred others, among them names that many programs use: BROKER_URL and DJANGO_SETTINGS_MODULE
(Celery), PGHOST and PGOPTIONS (libpq), FLASK_DEBUG, GRANIAN_RELOAD, PYTHONPATH. Each would change where a process
connects, or what it runs, without a setting that says so. So every command drops what is not listed here before it
imports a library.
"""

import os
import sys
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

# Starts Python so that neither its own variables nor code in the current folder count.
PYTHON = (sys.executable, "-E", "-P")

SETTINGS = frozenset({
    "BODY_LIMIT_BYTES", "CANARY_LIMIT_SECONDS", "CANARY_SECRET", "CELERY_BROKER_URL", "CONSOLE_BIND",
    "CONSOLE_PASSWORD", "DATABASE_URL", "FINGERPRINT_KEY", "INGEST_BIND", "INGEST_CERTIFICATE",
    "INGEST_CERTIFICATE_KEY", "INGEST_URL", "KVITTO_DATA", "LOSS_ACCEPTED", "PROMETHEUS_MULTIPROC_DIR", "PROVIDERS",
    "PUBLIC_URL", "REDIS_URL", "ROLE_PASSWORDS", "SEALING_KEYS", "TRUSTED_AUTHORITY",
})  # fmt: skip

_SYSTEM = frozenset({
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TEMP", "TMP", "TMPDIR", "TZ", "USER",
    "COLORTERM", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TERM", "_KVITTO_COMPLETE",  # the terminal
    "SSL_CERT_DIR", "SSL_CERT_FILE",
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",  # for the providers' APIs; lower case counts as well
})  # fmt: skip
# Locale, the loader of shared libraries on Linux and macOS, the allocator, and the tool that measures test coverage.
_SYSTEM_PREFIXES = ("LC_", "LD_", "DYLD_", "MALLOC_", "GLIBC_TUNABLES", "COVERAGE_")


def is_setting(name: str, providers: Iterable[str]) -> bool:
    """Return whether `name` is a setting of Kvitto or of one of these providers, or the NAME_FILE of one."""
    setting = name.removesuffix("_FILE")
    return setting in SETTINGS or setting.startswith(tuple(f"{provider.upper()}_" for provider in providers))


def drop_unknown(variables: MutableMapping[str, str]) -> None:
    """Remove from an environment what is neither a setting nor the system's."""
    providers = tuple(_provider_folders())
    for name in list(variables):
        if not (name.upper() in _SYSTEM or name.startswith(_SYSTEM_PREFIXES) or is_setting(name, providers)):
            del variables[name]


def drop_python_path(path: list[str]) -> None:
    """Remove from a module search path what PYTHONPATH put there: it belongs to other programs.

    To be called before `drop_unknown`. An empty item of PYTHONPATH stands for the current folder.
    """
    foreign = {os.path.abspath(item) for item in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    if "PYTHONPATH" in os.environ:
        path[:] = [item for item in path if os.path.abspath(item) not in foreign]


def _provider_folders() -> Iterator[str]:
    """Yield the providers' names, without importing anything: settings of a provider begin with its name."""
    folder = Path(__file__).parents[1] / "app" / "providers"
    return (entry.name for entry in os.scandir(folder) if entry.is_dir())
