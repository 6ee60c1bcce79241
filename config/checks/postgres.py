"""Rules for Postgres, by its settings (as pg_settings gives them) and state.

A worker deletes an entry once Postgres has committed. So a server whose commit is not on disk by then is a fault.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from config.checks.result import CheckResult, Facts, clock, durability, expect, fault, headroom, ok, unsafe, warning

_MIN_MAJOR = 15
# By setting: the values that keep data out of the server's log, and the one to suggest. Errors quote values in their
# statement, detail and context; a logged statement quotes them in its parameters.
_LOGGED = {
    "log_error_verbosity": ({"terse"}, "terse"),
    "log_min_error_statement": ({"fatal", "panic"}, "panic"),
    "log_parameter_max_length_on_error": ({"0"}, "0"),
}
_LOGGED_WITH_PARAMETERS = {"log_statement": ({"none", "ddl"}, "none"), "log_min_duration_statement": ({"-1"}, "-1")}
_DURABLE = {
    "fsync": (("on",), "Set fsync = on in postgresql.conf and restart"),
    "full_page_writes": (("on",), "Set full_page_writes = on in postgresql.conf and reload"),
    "synchronous_commit": (
        ("on", "local", "remote_write", "remote_apply"),
        "Set synchronous_commit = on for the server, the database and the role",
    ),
}

DURABILITY_SETTINGS = tuple(_DURABLE)
# As ALLOW_NON_DURABLE lists them.
DURABILITY_NAMES = tuple(f"postgres.{name}" for name in DURABILITY_SETTINGS)
SETTINGS = (
    *DURABILITY_SETTINGS, *_LOGGED, *_LOGGED_WITH_PARAMETERS, "log_parameter_max_length", "server_version_num",
    "server_encoding", "transaction_read_only", "max_connections", "superuser_reserved_connections",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Privileges:
    """Role of a session, and by process the privileges that the process needs and the role lacks."""

    role: str
    is_superuser: bool
    is_owner: bool
    missing: Mapping[str, Sequence[str]]


def startup(facts: Facts, exceptions: Collection[str], migrates: bool = False) -> Iterator[CheckResult]:
    """Check what waiting cannot fix: start-up fails on these faults and waits for all others.

    `migrates`: for `kvitto migrate` only, which owns the schema.
    """
    yield _version(facts)
    yield _encoding(facts)
    on_disk = "a commit is on disk before it is confirmed"
    yield from durability("postgres durability", unsafe_settings(facts), on_disk, exceptions)
    if not migrates:
        if facts["pending"] is not None:  # else a privilege is missing, too
            yield _migrations(facts["pending"])
        yield privileges(facts["privileges"])
        if not facts["pending"]:  # else the settings are missing, too
            yield session(facts["session"])


def check(facts: Facts, exceptions: Collection[str], migrates: bool) -> Iterator[CheckResult]:
    """Check everything."""
    yield from startup(facts, exceptions, migrates)
    yield _role(facts)
    if not migrates and facts["partitions"]:
        yield partitions(*facts["partitions"])
    yield collation(facts["collation"])
    limit = int(facts["max_connections"]) - int(facts["superuser_reserved_connections"])
    hint = "Raise max_connections in postgresql.conf and restart, or put PgBouncer before it"
    yield headroom("postgres connections", facts["connections"], limit, hint)
    yield from _logging(facts)
    yield clock("postgres clock", facts["clock"])


def unsafe_settings(settings: Mapping[str, str]) -> list[CheckResult]:
    """Return what could lose a confirmed commit; values as SHOW and pg_settings give them."""
    return unsafe("postgres", _DURABLE, settings)


def _migrations(pending: Sequence[str]) -> CheckResult:
    message = f"{len(pending)} pending"
    return expect("postgres migrations", not pending, message, message, "Run: kvitto migrate")


def session(settings: Mapping[str, tuple[str, str]]) -> CheckResult:
    """Check that a session has the settings of its database and role, as (wanted, actual)."""
    differing = {name: pair for name, pair in settings.items() if pair[0] != pair[1]}
    problem = "; ".join(f"{name} is {actual!r}, not {wanted!r}" for name, (wanted, actual) in differing.items())
    hint = "Run: kvitto migrate; then close old sessions, in PgBouncer by RECONNECT; nothing between may change them"
    return expect("postgres session", not differing, f"has all {len(settings)} settings", problem, hint)


def privileges(found: Privileges) -> CheckResult:
    """Check that a role may do all that its process does, and no more."""
    name, missing = "postgres privileges", {process: rights for process, rights in found.missing.items() if rights}
    if missing:
        lacking = (f"{_first(rights)}, which {process} needs" for process, rights in missing.items())
        roles = " or ".join(f"kvitto_{process}" for process in missing)
        hint = f"Name in DATABASE_URL the role that kvitto migrate made for it, such as {roles}; or GRANT it"
        return fault(name, f"{found.role} lacks {'; '.join(lacking)}", hint)
    if not found.is_superuser and not found.is_owner:
        return ok(name, "all that is needed, and neither superuser nor owner")
    hint = "Connect as a role that only reads and writes the tables; leave the owner to kvitto migrate"
    role = "a superuser" if found.is_superuser else "the owner of the tables"
    return warning(name, f"connects as {role}", hint)


def _first(rights: Sequence[str]) -> str:
    return rights[0] if len(rights) == 1 else f"{rights[0]} and {len(rights) - 1} more"


def collation(versions: tuple[str, str]) -> CheckResult:
    """Check that texts are still ordered as when the database was made: (version then, version now)."""
    recorded, actual = versions
    if not recorded or recorded == actual:
        return ok("postgres collation", f"version {actual}" if actual else "has no version")
    problem = f"the database was made under version {recorded}, the server has {actual}: indexes of texts may be wrong"
    hint = (
        "Those of Kvitto do not depend on it. For others: REINDEX DATABASE; ALTER DATABASE … REFRESH COLLATION VERSION"
    )
    return warning("postgres collation", problem, hint)


def partitions(has_strays: bool, last_month: date, this_month: date) -> CheckResult:
    """Check that the next month has a partition, and that no row is in the partition for all others."""
    name, hint = "postgres partitions", "Run: kvitto migrate; beat and a worker then make a month's partitions in time"
    if last_month <= this_month:
        return warning(name, f"the last is of {last_month:%Y-%m}: deliveries of the next month get none", hint)
    if has_strays:
        hint = f"Compare the clocks of the machines that run ingest. {hint}, and move what belongs there"
        return warning(name, "receipts are of months that have none, where retention is slow", hint)
    return ok(name, f"made up to {last_month:%Y-%m}")


def _version(facts: Facts) -> CheckResult:
    major = int(facts["server_version_num"]) // 10_000
    message, hint = f"PostgreSQL {major}", f"Use PostgreSQL {_MIN_MAJOR} or later"
    return expect("postgres version", major >= _MIN_MAJOR, message, message, hint)


def _encoding(facts: Facts) -> CheckResult:
    encoding = facts["server_encoding"]
    problem = f"is {encoding}: names in other letters cannot be stored"
    hint = "Create the database again: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
    return expect("postgres encoding", encoding == "UTF8", encoding, problem, hint)


def _role(facts: Facts) -> CheckResult:
    if facts["in_recovery"]:
        return fault("postgres role", "is a standby: it takes no writes", "Name the primary in DATABASE_URL")
    hint = "Reset default_transaction_read_only for the server, the database and the role"
    writable = facts["transaction_read_only"] != "on"
    return expect("postgres role", writable, "primary", "transactions are read-only", hint)


def _logging(facts: Facts) -> list[CheckResult]:
    rules = dict(_LOGGED)
    if facts.get("log_parameter_max_length") != "0":
        rules |= _LOGGED_WITH_PARAMETERS
    return [
        warning(
            f"postgres {name}",
            f"is {facts[name]!r}: values get into its log",
            f"Set {name} = {suggested} in postgresql.conf and reload",
        )
        for name, (harmless, suggested) in rules.items()
        if facts.get(name, suggested) not in harmless
    ] or [ok("postgres logging", "no values get into its log")]
