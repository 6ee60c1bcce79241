"""The settings of some processes, read from one environment, and what is wrong with them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from app.inbox import client as inbox_server
from app.process_settings import READERS
from app.providers import registry
from app.storage import server_info as ledger_server
from config import declarations
from config.checks import settings as settings_checks
from config.checks.result import CheckResult, fault, ok
from config.environment import Environment
from config.variables import setting_of

# Servers' addresses, by field: the settings that may give each, and whether its client can parse it.
_ADDRESSES: Mapping[str, tuple[tuple[str, ...], Callable[[str], bool]]] = {
    "redis_url": (("REDIS_URL",), inbox_server.is_address),
    "broker_url": (("CELERY_BROKER_URL", "REDIS_URL"), bool),
    "database_url": (("DATABASE_URL",), ledger_server.is_address),
}


class Configuration:
    """The settings of some processes, read from one environment."""

    def __init__(self, variables: Mapping[str, str], processes: Collection[str]) -> None:
        self.variables = variables
        self.processes = processes
        self._environment = _RecordingEnvironment(variables)
        self._needed_by: dict[CheckResult, list[str]] = {}
        self._values: dict[str, Any] = {}
        for process in processes:
            self._read(process)
        self._values["allow_non_durable"] = self._environment.choices("ALLOW_NON_DURABLE", ("redis", "postgres"))
        self._faulty = {setting_of(result.name) for result in self._needed_by}
        given = {name: address for name in _ADDRESSES if (address := self._given(name))}
        self._malformed = [name for name, address in given.items() if not _ADDRESSES[name][1](address)]

    def get(self, name: str) -> Any:
        """Return a setting by its field's name; None if none of the processes has it."""
        return self._values.get(name)

    def address(self, name: str) -> str | None:
        """Return a server's address; None if none of the processes has it, or if it is wrong."""
        return None if name in self._malformed else self._given(name)

    def results(self) -> Iterator[CheckResult]:
        """Yield what is wrong with the settings, or dangerous about them."""
        for result, processes in self._needed_by.items():
            yield fault(result.name, f"{result.message} (needed by {', '.join(processes)})", result.hint)
        for name in self._malformed:
            hint = "Percent-encode special characters in user and password, and check the port and what follows it"
            yield fault(_ADDRESSES[name][0][0], "cannot be read as an address", hint)
        if not self._needed_by and not self._malformed:
            yield ok("settings", f"complete for {', '.join(self.processes)}")
        yield from settings_checks.check_secrets(self._secrets())
        yield from settings_checks.check_files(self._environment.file_modes())
        binds = {name: self.get(name.lower()) for name in ("INGEST_BIND", "CONSOLE_BIND") if name not in self._faulty}
        yield from settings_checks.check_binds({name: bind for name, bind in binds.items() if bind})
        if "ALLOW_NON_DURABLE" not in self._faulty:
            yield settings_checks.check_durability_exceptions(self.get("allow_non_durable"))

    def _given(self, name: str) -> str | None:
        return None if self._faulty & set(_ADDRESSES[name][0]) else self._values.get(name)

    def _secrets(self) -> dict[str, tuple[str, ...]]:
        """Return the values of secrets. Addresses and names are no secrets: they may be short and shared."""
        declared = [*declarations.SETTINGS, *(s for name in registry.known() for s in registry.declared_settings(name))]
        public = {setting.name for setting in declared if not setting.secret} | self._faulty
        return {name: values for name, values in self._environment.values.items() if values and name not in public}

    def _read(self, process: str) -> None:
        self._environment.faults.clear()
        settings = READERS[process](self._environment)
        for result in dict.fromkeys(self._environment.faults):
            self._needed_by.setdefault(result, []).append(process)
        self._values |= {field.name: getattr(settings, field.name) for field in fields(settings)}


class _RecordingEnvironment(Environment):
    """Records the values of secrets as they are read, so that they can be checked together."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.values: dict[str, tuple[str, ...]] = {}

    def secret(self, name: str) -> str:
        """Record the whole; `secrets` and `labelled_secrets` replace it by its parts."""
        value = super().secret(name)
        self.values[name] = (value,) if value else ()
        return value

    def secrets(self, name: str) -> tuple[str, ...]:
        """Record every value."""
        self.values[name] = values = super().secrets(name)
        return values

    def labelled_secrets(self, name: str) -> tuple[tuple[str, str], ...]:
        """Record every value without its label."""
        pairs = super().labelled_secrets(name)
        self.values[name] = tuple(value for _, value in pairs)
        return pairs

    def file_modes(self) -> dict[str, int]:
        """Return the permissions of the secret files that were read, by the variable that names each."""
        names = sorted(name for name in self.names_read & self._variables.keys() if name.endswith("_FILE"))
        files = {name: Path(self._variables[name]) for name in names}
        return {name: file.stat().st_mode & 0o777 for name, file in files.items() if file.is_file()}
