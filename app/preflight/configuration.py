"""The settings of some processes, read from one environment, and what is wrong with them."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from app.process_settings import READERS
from app.providers import registry
from app.storage.primary import require_address
from config import declarations
from config.checks import settings as settings_checks
from config.checks.result import CheckResult, fault, ok
from config.environment import ConfigurationError, Environment
from config.settings import allow_non_durable, broker_setting, durability_exceptions, durable_store
from config.variables import setting_of

# Settings that name what a process listens on.
_BINDS = ("INGEST_BIND", "CONSOLE_BIND", "METRICS_BIND")


class Configuration:
    """The settings of some processes, read from one environment. `faults` says what is wrong with them."""

    def __init__(self, variables: Mapping[str, str], processes: Collection[str]) -> None:
        self.variables = variables
        self.processes = processes
        self._environment = Environment(variables)
        self._values: dict[str, Any] = {}
        needed_by: dict[CheckResult, list[str]] = {}
        for process in processes:
            self._environment.faults.clear()
            settings = READERS[process](self._environment)
            self._values |= {field.name: getattr(settings, field.name) for field in fields(settings)}
            for result in dict.fromkeys(self._environment.faults):
                needed_by.setdefault(result, []).append(process)
        self._values["allow_non_durable"] = allow_non_durable(self._environment)
        self._values["durable_store"] = durable_store(self._environment)
        self._values["durability_exceptions"] = durability_exceptions(self._environment)
        self.faults = [
            fault(result.name, f"{result.message} (needed by {', '.join(names)})", result.hint)
            for result, names in needed_by.items()
        ]
        self._faulty = {setting_of(result.name) for result in self.faults}
        try:
            if dsn := self.address("database_url"):
                require_address(dsn)
        except ConfigurationError as error:
            self.faults += error.faults
            self._faulty.add("DATABASE_URL")

    def get(self, name: str) -> Any:
        """Return a setting by its field's name; None if none of the processes has it."""
        return self._values.get(name)

    def address(self, name: str) -> Any:
        """Return a server's address by its field's name; None if none of the processes has it, or if it is wrong."""
        settings = {"redis": "REDIS_URL", "broker": broker_setting(self._environment), "database_url": "DATABASE_URL"}
        return None if settings[name] in self._faulty else self.get(name)

    def results(self, removed: Collection[str]) -> Iterator[CheckResult]:
        """Yield what is wrong with the settings, or dangerous about them."""
        yield from self.faults or [ok("settings", f"complete for {', '.join(self.processes)}")]
        yield from settings_checks.check_secrets(self._secrets())
        yield from settings_checks.check_files(self._file_modes())
        if self.get("database_url"):
            yield from settings_checks.check_removed(removed)
        binds = {name: self.get(name.lower()) for name in _BINDS if name not in self._faulty}
        yield from settings_checks.check_binds({name: bind for name, bind in binds.items() if bind})
        if "ALLOW_NON_DURABLE" not in self._faulty:
            yield settings_checks.check_durability_exceptions(self.get("allow_non_durable"))
        if self.get("retention") is not None and not {"RETENTION", "PROVIDERS"} & self._faulty:
            yield settings_checks.check_retention(self.get("retention"), self.get("providers"))

    def _secrets(self) -> dict[str, tuple[str, ...]]:
        """Return the values of secrets. Addresses and names are no secrets: they may be short and shared."""
        declared = [*declarations.SETTINGS, *(s for name in registry.known() for s in registry.declared_settings(name))]
        public = {setting.name for setting in declared if not setting.secret} | self._faulty
        return {name: values for name, values in self._environment.secret_values.items() if name not in public}

    def _file_modes(self) -> dict[str, int]:
        """Return the permissions of the secret files that were read, by the variable that names each."""
        names = sorted(name for name in self._environment.names_read & self.variables.keys() if name.endswith("_FILE"))
        files = {name: Path(self.variables[name]) for name in names}
        return {name: _permissions(file) for name, file in files.items() if file.is_file()}


def _permissions(file: Path) -> int:
    """Return the permissions of a file; without the group's if no other user has the group.

    A volume of Kubernetes is mounted read-only, and its files belong to the pod's own group (fsGroup).
    """
    status = file.stat()
    is_own_group = status.st_gid in (os.getegid(), *os.getgroups())
    is_mounted = bool(os.statvfs(file).f_flag & os.ST_RDONLY)
    return status.st_mode & (0o707 if is_own_group and is_mounted else 0o777)
