"""Reads environment variables, and collects every fault before it reports any."""

import base64
import binascii
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

from config.checks.result import CheckResult, fault
from config.web_address import address_problem, is_host, is_port

T = TypeVar("T")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBER = re.compile(r"[0-9]{1,12}")
# What ends an item of a list: a file may hold one item a line.
_SEPARATOR = re.compile(r"[,\r\n]")
_BETWEEN_ITEMS = "\t\r\n"
# Letters and marks that are not shown: joiners, fillers, variation selectors.
_NOT_SHOWN = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0]")
# How a list holds a comma, and how it holds the text of such a code.
_CODES = re.compile("%(2C|25)", re.IGNORECASE)
_QUOTES = ("\"\"", "''", "``", "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}",
           "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}")  # fmt: skip
# A shorter secret can be guessed, and may be half of one that holds a comma.
MIN_SECRET_LENGTH = 16


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
        # The labels of those that are lists of label=value: ids of keys, for example.
        self.secret_labels: dict[str, tuple[str, ...]] = {}

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
        value = self._variable(name).strip() or default
        if value is None:
            self.fault(name, "is not set", f"Set {name}")
            return ""
        return value

    def _variable(self, name: str) -> str:
        """Return the text of a variable, empty if it is not set or no text."""
        value = self._variables.get(name, "")
        if not value.isascii() and any(unicodedata.category(character) == "Cs" for character in value):
            self.fault(name, "holds bytes that are not UTF-8", "Write it again, in UTF-8")
            return ""
        return value

    def url(self, name: str, schemes: tuple[str, ...], default: str | None = None) -> str:
        """Return a URL of one of `schemes`, or the default. It is read as a secret, since a path may be one."""
        value = self.secret(name, default)
        if value and (problem := address_problem(value, schemes)):
            self.fault(name, problem, f"Write it like {schemes[0]}://host/path")
        return value

    def is_set(self, name: str) -> bool:
        """Return whether NAME or NAME_FILE is set."""
        names = {name, f"{name}_FILE"}
        self.names_read |= names
        return any(_stripped(self._variables.get(variable, "")) for variable in names)

    def secret(self, name: str, default: str | None = None, min_length: int = 0) -> str:
        """Return a secret, from NAME or from the file that NAME_FILE names; without a default it is required."""
        if not self.is_set(name) and default is not None:
            return default
        value = self._content(name, allowed="")
        self._require_length(name, (value,), min_length)
        self.secret_values[name] = (value,)
        return value

    def _content(self, name: str, allowed: str) -> str:
        """Return the text of a secret; it may hold the control characters of `allowed`."""
        path = self._variables.get(f"{name}_FILE")
        if path is None:
            value = _stripped(self._variable(name))
            if not value:
                self.fault(name, "is not set", f"Set {name}, or {name}_FILE to a file that holds it")
        else:
            value = self._file_content(name, path)
        self._require_visible(name, value, allowed)
        return value

    def _file_content(self, name: str, path: str) -> str:
        if name in self._variables:
            self.fault(name, f"is set beside {name}_FILE", "Keep one of the two")
        try:
            value = _stripped(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            self.fault(f"{name}_FILE", f"cannot be read ({type(error).__name__})", "Name a readable file in UTF-8")
            return ""
        if not value:
            self.fault(f"{name}_FILE", "names an empty file", "Write the secret into it")
        return value

    def _require_visible(self, name: str, value: str, allowed: str = "") -> None:
        """Record a fault for what an editor or a shell added to a secret: it would be a part of the secret."""
        is_plain = value.isascii() and value.isprintable()  # as most are: each process reads dozens at its start
        for character in () if is_plain else value:
            # Control, format and unassigned characters; every white space but the plain one.
            is_hidden = unicodedata.category(character)[0] in "CZ" or _NOT_SHOWN.match(character)
            if is_hidden and character not in f" {allowed}":
                problem = f"holds a line end or an invisible character (U+{ord(character):04X})"
                self.fault(name, problem, "Write it again by hand or with printf, in one line of visible characters")
                return
        if len(value) > 1 and value[0] + value[-1] in _QUOTES:
            self.fault(name, "stands in quotes", "Remove them: they would be part of the secret")

    def _require_length(self, name: str, values: Collection[str], minimum: int) -> None:
        for position, value in enumerate(values, start=1):
            if 0 < len(value) < minimum:
                problem = f"value {position} of {len(values)} has {len(value)} characters: it can be guessed"
                hint = f"Use {minimum} at least (openssl rand -hex 16), and write a comma within a value as %2C"
                self.fault(name, problem, hint)

    def integer(self, name: str, default: str, minimum: int, maximum: int) -> int:
        """Return a whole number from `minimum` to `maximum`."""
        value = self.text(name, default)
        if not _NUMBER.fullmatch(value) or not minimum <= int(value) <= maximum:
            self.fault(name, "is not a whole number in range", f"Give a number from {minimum} to {maximum}")
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
        return tuple(dict.fromkeys(filter(_NAME.fullmatch, values)))

    def address(self, name: str, default: str) -> tuple[str, int]:
        """Return (host, port) of `host:port`; port 0 is any free one."""
        host, _, port = self.text(name, default).rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not is_host(host) or not (is_port(port) or port == "0"):
            self.fault(name, "is not host:port", f"Write it like {default}")
            return "127.0.0.1", 0
        return host, int(port)

    def secrets(self, name: str, default: str | None = None) -> tuple[str, ...]:
        """Return the values of a secret that is a list; all are valid at once."""
        values = self._items(name, default)
        self._require_length(name, values, MIN_SECRET_LENGTH)
        self.secret_values[name] = values
        return values

    def labelled_secrets(
        self, name: str, default: str | None = None, min_length: int = MIN_SECRET_LENGTH
    ) -> tuple[tuple[str, str], ...]:
        """Return the `label=value` pairs of a secret that is a list, in order."""
        pairs = []
        for position, item in enumerate(self._items(name, default), start=1):
            label, _, value = item.partition("=")
            if value and _ID.fullmatch(label):
                self._require_visible(name, value)
                pairs.append((label, value))
            else:  # the fault gives its position only: without a label, the item may be the secret itself
                hint = "Write it like 2026-11=VALUE,2026-10=VALUE, and a comma within a value as %2C"
                self.fault(name, f"item {position} is not label=value", hint)
        values = tuple(value for _, value in pairs)
        self._require_length(name, values, min_length)
        if values:
            self.secret_values[name] = values
            self.secret_labels[name] = tuple(label for label, _ in pairs)
        return tuple(pairs)

    def _items(self, name: str, default: str | None) -> tuple[str, ...]:
        """Return the items of a list, which end at a comma or a line end."""
        if not self.is_set(name) and default is not None:
            return ()
        text = self._content(name, allowed=_BETWEEN_ITEMS)
        stripped = (item.strip(" \t") for item in _SEPARATOR.split(text))
        items = tuple(_decode(item) for item in stripped if item)
        if text and not items:
            self.fault(name, "lists nothing", "Give at least one value")
        for item in items:
            self._require_visible(name, item)
        return items

    def keys(self, name: str) -> tuple[tuple[str, bytes], ...]:
        """Return `id=base64` pairs as (id, 32 bytes), newest first; ids must differ."""
        keys = tuple(
            (label, self._key(name, label, value)) for label, value in self.labelled_secrets(name, min_length=0)
        )
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


def as_list_item(secret: str) -> str:
    """Return how a list holds a secret, so that `Environment.secrets` reads the same secret."""
    return _CODES.sub(lambda code: f"%25{code[1]}", secret).replace(",", "%2C")


def _decode(item: str) -> str:
    return _CODES.sub(lambda code: chr(int(code[1], 16)), item)


def _stripped(text: str) -> str:
    """Return a text without a byte order mark, and without white space of ASCII around it."""
    return text.removeprefix("\N{BYTE ORDER MARK}").strip(" \t\r\n")


def load(read: Callable[[Environment], T], variables: Mapping[str, str] | None = None) -> T:
    """Read settings from variables, by default those of this process; raise ConfigurationError with every fault."""
    environment = Environment(os.environ if variables is None else variables)
    settings = read(environment)
    environment.check()
    return settings
