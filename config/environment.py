"""Reads environment variables, and collects every fault before it reports any."""

import base64
import binascii
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

from config.checks.result import CheckResult, fault

T = TypeVar("T")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# By scheme, an example of what follows it.
_EXAMPLES = {
    "http": "host/path",
    "https": "host/path",
    "postgresql": "user:password@host/name",
}


class ConfigurationError(Exception):
    """A process must not start; `faults` holds every reason found."""

    def __init__(self, faults: list[CheckResult]) -> None:
        self.faults = faults
        super().__init__("cannot start:\n" + "\n".join(f"  {fault}" for fault in faults))


class Environment:
    """Reads environment variables and collects faults instead of stopping at the first.

    Each reader returns a usable placeholder on a fault; call `check` before using what was read.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.faults: list[CheckResult] = []
        # Every name that was read, set or not.
        self.names_read: set[str] = set()
        # Every value of the secrets that were read, for checks that compare them.
        self.secret_values: dict[str, tuple[str, ...]] = {}

    @classmethod
    def of_process(cls) -> "Environment":
        """Return the environment of this process."""
        return cls(os.environ)

    def check(self) -> None:
        """Raise ConfigurationError with all faults found so far, if any."""
        if self.faults:
            raise ConfigurationError(list(dict.fromkeys(self.faults)))

    def fault(self, name: str, problem: str, hint: str) -> None:
        """Record what is wrong with `name` and how to fix it."""
        self.faults.append(fault(name, problem, hint))

    def text(self, name: str, default: str | None = None) -> str:
        """Return the variable, or the default; without a default it is required."""
        self.names_read.add(name)
        value = self._variables.get(name, "").strip() or default
        if value is None:
            self.fault(name, "is not set", f"Set {name}")
            return ""
        return value

    def url(self, name: str, schemes: tuple[str, ...], default: str | None = None) -> str:
        """Return a URL of one of `schemes`, or the default; it may hold a password, so it is read as a secret."""
        value = self.secret(name, default)
        if value and value.partition("://")[0] not in schemes:
            self.fault(name, f"is no {schemes[0]}:// address", f"Write it like {schemes[0]}://{_EXAMPLES[schemes[0]]}")
        return value

    def is_set(self, name: str) -> bool:
        """Return whether NAME or NAME_FILE is set."""
        names = {name, f"{name}_FILE"}
        self.names_read |= names
        return any(self._variables.get(variable, "").strip() for variable in names)

    def secret(self, name: str, default: str | None = None) -> str:
        """Return a secret, from NAME or from the file that NAME_FILE names; without a default it is required."""
        if not self.is_set(name) and default is not None:
            return default
        path = self._variables.get(f"{name}_FILE")
        if path is None:
            value = self._variables.get(name, "").strip()
            if not value:
                self.fault(name, "is not set", f"Set {name}, or {name}_FILE to a file that holds it")
        else:
            value = self._content(name, path)
        self.secret_values[name] = (value,)
        return value

    def _content(self, name: str, path: str) -> str:
        """Return the secret that a file holds."""
        if name in self._variables:
            self.fault(name, f"is set beside {name}_FILE", "Keep one of the two")
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.fault(f"{name}_FILE", f"cannot be read ({type(error).__name__})", "Name a readable text file")
            return ""
        if not value:
            self.fault(f"{name}_FILE", "names an empty file", "Write the secret into it")
        return value

    def integer(self, name: str, default: str, minimum: int) -> int:
        """Return a whole number of at least `minimum`."""
        value = self.text(name, default)
        if not value.isascii() or not value.isdigit() or int(value) < minimum:
            self.fault(name, "is not a whole number in range", f"Give a number of at least {minimum}")
            return int(default)
        return int(value)

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return one of `allowed`."""
        value = self.text(name, default)
        if value not in allowed:
            self.fault(name, f"may be {' or '.join(allowed)} only", f"Write it like {name}={default}")
            return default
        return value

    def choices(self, name: str, allowed: Collection[str]) -> frozenset[str]:
        """Return comma-separated values, each one of `allowed`; none by default."""
        values = frozenset(item.strip() for item in self.text(name, "").split(",")) - {""}
        if not values <= set(allowed):
            self.fault(name, f"may list {', '.join(allowed)} only", f"Write it like {name}={next(iter(allowed))}")
        return values

    def names(self, name: str, default: str) -> tuple[str, ...]:
        """Return comma-separated lower-case identifiers, in order; they must differ."""
        values = tuple(item.strip() for item in self.text(name, default).split(","))
        if not all(map(_NAME.fullmatch, values)) or len(set(values)) < len(values):
            self.fault(name, "is not a list of different names", "Write lower-case names, separated by commas")
        return values

    def address(self, name: str, default: str) -> tuple[str, int]:
        """Return (host, port) of `host:port`."""
        host, _, port = self.text(name, default).rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            self.fault(name, "is not host:port", f"Write it like {default}")
            return "127.0.0.1", 0
        return host.strip("[]"), int(port)

    def secrets(self, name: str, default: str | None = None) -> tuple[str, ...]:
        """Return the comma-separated values of a secret; all are valid at once."""
        secret = self.secret(name, default)
        values = tuple(value.strip() for value in secret.split(",") if value.strip())
        if secret and not values:
            self.fault(name, "lists nothing", "Give at least one value")
        self.secret_values[name] = values
        return values

    def labelled_secrets(self, name: str, default: str | None = None) -> tuple[tuple[str, str], ...]:
        """Return the comma-separated `label=value` pairs of a secret, in order."""
        pairs = []
        for position, item in enumerate(self.secrets(name, default), start=1):
            label, _, value = item.partition("=")
            if value and _ID.fullmatch(label):
                pairs.append((label, value))
            else:  # the fault gives its position only: without a label, the item may be the secret itself
                self.fault(name, f"item {position} is not label=value", "Write it like 2026-11=VALUE,2026-10=VALUE")
        self.secret_values[name] = tuple(value for _, value in pairs)
        return tuple(pairs)

    def keys(self, name: str) -> tuple[tuple[str, bytes], ...]:
        """Return `id=base64` pairs as (id, 32 bytes), newest first; ids must differ."""
        keys = tuple((label, self._key(name, label, value)) for label, value in self.labelled_secrets(name))
        if len({label for label, _ in keys}) < len(keys):
            self.fault(name, "names one id twice", "Give every key an id of its own")
        return keys

    def key(self, name: str) -> bytes:
        """Return one base64 key of 32 bytes."""
        value = self.secret(name)
        return self._key(name, "the value", value) if value else b""

    def _key(self, name: str, label: str, value: str) -> bytes:
        try:
            key = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 32:
            self.fault(name, f"{label} is not the base64 of 32 bytes", "Make one with: openssl rand -base64 32")
        return key


def load(read: Callable[[Environment], T], variables: Mapping[str, str] | None = None) -> T:
    """Read settings from variables, by default those of this process; raise ConfigurationError with every fault."""
    environment = Environment(os.environ if variables is None else variables)
    settings = read(environment)
    environment.check()
    return settings
