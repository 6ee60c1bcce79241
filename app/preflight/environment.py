"""What one environment comes to for several processes: settings, secrets, and what is wrong with them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from app.inbox import client as inbox_server
from app.process_settings import READERS
from app.storage import server_info as ledger_server
from config.checks import settings as settings_checks
from config.checks.result import CheckResult, fault, ok
from config.environment import Environment
from config.variables import setting_of

# The addresses of servers among the settings: by what they are set, and what tells whether one can be understood.
_ADDRESSES: Mapping[str, tuple[tuple[str, ...], Callable[[str], bool]]] = {
    "redis_url": (("REDIS_URL",), inbox_server.is_address),
    "broker_url": (("CELERY_BROKER_URL", "REDIS_URL"), bool),
    "database_url": (("DATABASE_URL",), ledger_server.is_address),
}


class Configuration:
    """The settings of some processes, read from one environment."""

    def __init__(self, variables: Mapping[str, str], processes: Collection[str]) -> None:
        self.processes = processes
        self._environment = _Watched(variables)
        self._needed_by: dict[CheckResult, list[str]] = {}
        self._values: dict[str, Any] = {}
        self._binds: dict[str, tuple[str, int]] = {}
        for process in processes:
            self._read(process)
        self._values["allow_non_durable"] = self._environment.choices("ALLOW_NON_DURABLE", ("redis", "postgres"))
        given = {name: address for name in _ADDRESSES if (address := self._given(name))}
        self._unclear = [name for name, address in given.items() if not _ADDRESSES[name][1](address)]

    def get(self, name: str) -> Any:
        """Return a setting by its field's name; None if none of the processes has it."""
        return self._values.get(name)

    def address(self, name: str) -> str | None:
        """Return a server's address; None if none of the processes has it, or it is wrong."""
        return None if name in self._unclear else self._given(name)

    def findings(self) -> Iterator[CheckResult]:
        """Yield what is wrong with the settings, or dangerous about them."""
        for wrong, processes in self._needed_by.items():
            yield fault(wrong.name, f"{wrong.message} (needed by {', '.join(processes)})", wrong.hint)
        for name in self._unclear:
            mend = "Percent-encode what is special in user and password, and check the port and what follows it"
            yield fault(_ADDRESSES[name][0][0], "cannot be read as an address", mend)
        if not self._needed_by and not self._unclear:
            yield ok("settings", f"complete for {', '.join(self.processes)}")
        yield from settings_checks.judge_secrets(self._secrets())
        yield from settings_checks.judge_files(self._environment.modes())
        faulty = self._faulty()
        yield from settings_checks.judge_binds({name: bind for name, bind in self._binds.items() if name not in faulty})
        if "ALLOW_NON_DURABLE" not in faulty:
            yield settings_checks.judge_loss(self.get("allow_non_durable") or frozenset())

    def _given(self, name: str) -> str | None:
        return None if self._faulty() & set(_ADDRESSES[name][0]) else self._values.get(name)

    def _secrets(self) -> dict[str, tuple[str, ...]]:
        """Return the secrets to judge by their values; addresses may share one, and a name is not meant to be long."""
        values = self._environment.values.items()
        faulty = self._faulty()
        return {
            name: found
            for name, found in values
            if found and name not in faulty and not name.endswith(("_URL", "_LOGIN", "_ID"))
        }

    def _faulty(self) -> set[str]:
        """Return the names of settings that no process would start with."""
        return {setting_of(wrong.name) for wrong in self._needed_by}

    def _read(self, process: str) -> None:
        self._environment.faults.clear()
        settings = READERS[process](self._environment)
        for wrong in dict.fromkeys(self._environment.faults):
            self._needed_by.setdefault(wrong, []).append(process)
        values = {field.name: getattr(settings, field.name) for field in fields(settings)}
        if bind := values.pop("bind", None):
            self._binds[f"{process.upper()}_BIND"] = bind
        self._values |= values


class _Watched(Environment):
    """Keeps the values of secrets as they are read, to judge them together."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.values: dict[str, tuple[str, ...]] = {}

    def secret(self, name: str) -> str:
        """Keep the whole; a reader of its parts then keeps these instead."""
        value = super().secret(name)
        self.values[name] = (value,) if value else ()
        return value

    def secrets(self, name: str) -> tuple[str, ...]:
        """Keep every value."""
        found = super().secrets(name)
        self.values[name] = found
        return found

    def labelled_secrets(self, name: str) -> tuple[tuple[str, str], ...]:
        """Keep every value without its label."""
        found = super().labelled_secrets(name)
        self.values[name] = tuple(value for _, value in found)
        return found

    def modes(self) -> dict[str, int]:
        """Return the permissions of the files that were read, by the variable that names each."""
        read = {name: Path(self._variables[name]) for name in sorted(self.names_read & self._variables.keys())}
        return {
            name: path.stat().st_mode & 0o777
            for name, path in read.items()
            if name.endswith("_FILE") and path.is_file()
        }
