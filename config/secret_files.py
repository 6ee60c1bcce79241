"""Secrets that change while a process runs: a file that NAME_FILE names is read again once it was written.

The rules are those of the start. What breaks them is not taken: the process keeps what it has, and logs an error. The
address of a server may change in its user and password only, because all processes must use the same server.

Processes look at the files themselves. Nobody has to send a signal, and no notification is missed: a volume of
Kubernetes replaces all files by a link, an editor writes or replaces one.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

from config.checks.result import CheckResult, fault
from config.environment import Environment
from config.redis_address import RedisAddress
from config.settings import redis_address
from config.variables import setting_of

T = TypeVar("T")
# A file that was written a moment ago may still be incomplete.
_COMPLETE_SECONDS = 1.0
_LOGIN = re.compile("//.*@")
# What a running process does not take, and what to do instead.
_READ_AT_START = {
    "FINGERPRINT_KEY": "Restore it: it is never changed, since stored digests would match nothing",
    "OTEL_EXPORTER_OTLP_HEADERS": "Restart the process: this setting is read at the start only",
}
logger = logging.getLogger(__name__)


class Rereading(Generic[T]):
    """What a process reads from its environment, read again when a file with a secret was written."""

    def __init__(
        self,
        read: Callable[[Environment], T],
        variables: Mapping[str, str] | None = None,
        report: Callable[[str, bool], None] = lambda _setting, _is_rejected: None,
    ) -> None:
        """Read; raises ConfigurationError with every fault.

        After each change of a file, call `report` for each setting that comes from one: is what it holds rejected?
        """
        self._read = read
        self._report = report
        self._variables = os.environ if variables is None else variables
        self._lock = threading.Lock()
        self._seen = self._written()
        environment = Environment(self._variables)
        self.value = read(environment)
        environment.check()
        self._secrets = environment.secret_values
        in_files = {setting_of(name) for name in self._variables if setting_of(name) != name}
        self.files = sorted(in_files & environment.names_read)

    def current(self) -> T:
        """Return what was read, with the secrets that the files hold now."""
        self.refresh()
        return self.value

    def refresh(self) -> bool:
        """Read again if a file was written; return whether secrets were taken from it."""
        with self._lock:
            written = self._written()
            if written == self._seen or any(0 <= time.time_ns() - at < _COMPLETE_SECONDS * 1e9 for at, *_ in written):
                return False
            self._seen = written
            return self._take()

    def _written(self) -> list[tuple[int, ...]]:
        """Return for each file what changes when it is written, replaced, or given to another user.

        The times in nanoseconds of the last write and of any change, that of its owner included; inode, size.
        """
        found: list[tuple[int, ...]] = []
        for variable in sorted(self._variables):
            if setting_of(variable) != variable:
                try:
                    status = os.stat(self._variables[variable])
                except OSError:
                    found.append((0, 0, 0, 0))
                else:
                    found.append((status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size))
        return found

    def _take(self) -> bool:
        environment = Environment(self._variables)
        value = self._read(environment)
        changed = [name for name, secrets in environment.secret_values.items() if secrets != self._secrets.get(name)]
        faults = environment.faults or [problem for name in changed for problem in self._problems(name, environment)]
        if faults:
            hint = "the process keeps what it has; correct the file"
            logger.error("secrets_rejected", extra={"faults": [*dict.fromkeys(map(str, faults))], "hint": hint})
        elif changed:
            self.value, self._secrets = value, environment.secret_values
            labels = {name: environment.secret_labels[name] for name in changed if name in environment.secret_labels}
            logger.info("secrets_taken", extra={"settings": changed, "key_ids": labels})
        rejected = {each.name for each in faults}
        # A fault may concern what no file holds; then it is what changed that does not fit to it.
        rejected = rejected & {*self.files} or (set(changed) if faults else set())
        for name in self.files:
            self._report(name, name in rejected)
        return bool(changed) and not faults

    def _problems(self, name: str, environment: Environment) -> Iterator[CheckResult]:
        """Yield why a running process cannot take a secret that is valid."""
        if hint := _READ_AT_START.get(name):
            yield fault(name, "is another than at the start", hint)
        elif name.endswith("_URL"):
            (before,), (after,) = self._secrets[name], environment.secret_values[name]
            if _place(before) != _place(after):
                yield fault(name, "names another server than at the start", "Restart all processes that read it")


def current_url(name: str, url: str) -> str:
    """Return the URL that a setting gives now, if it differs from `url` in its user and password only; else `url`."""
    if f"{name}_FILE" not in os.environ:
        return url
    environment = Environment.of_process()
    found = environment.secret(name)
    return url if environment.faults or _place(found) != _place(url) else found


def current_login(address: RedisAddress) -> RedisAddress:
    """Return the address that its settings give now, if it differs in user and passwords only; else `address`."""
    environment = Environment.of_process()
    found = redis_address(environment, address.setting)
    changed = replace(
        address, username=found.username, password=found.password, sentinel_password=found.sentinel_password
    )
    return address if environment.faults or changed != found else found


def _place(url: str) -> str:
    return _LOGIN.sub("//@", url)
