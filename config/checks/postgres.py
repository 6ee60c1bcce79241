"""Rules for Postgres, by its settings (as pg_settings gives them) and state."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from config.checks.result import CheckLevel, CheckResult, Facts, clock, fault, headroom, ok, warning
from config.checks.startup import POSTGRES_SETTINGS, postgres_faults

_MIN_MAJOR = 15
# By setting: the values that keep data out of the server's log, and the one to suggest. Errors quote values in their
# statement, detail and context; a logged statement quotes them in its parameters.
_LOGGED = {
    "log_error_verbosity": ({"terse"}, "terse"),
    "log_min_error_statement": ({"fatal", "panic"}, "panic"),
    "log_parameter_max_length_on_error": ({"0"}, "0"),
}
_LOGGED_WITH_PARAMETERS = {
    "log_statement": ({"none", "ddl"}, "none"),
    "log_min_duration_statement": ({"-1"}, "-1"),
}

SETTINGS = (
    *POSTGRES_SETTINGS, *_LOGGED, *_LOGGED_WITH_PARAMETERS, "log_parameter_max_length", "server_version_num",
    "server_encoding", "transaction_read_only", "max_connections", "superuser_reserved_connections",
)  # fmt: skip


def blocking_problems(facts: Facts) -> list[CheckResult]:
    """Check what waiting cannot fix: start-up fails on these faults and waits for all others."""
    return [_version(facts), _encoding(facts)]


def check(facts: Facts, allow_non_durable: bool, migrates: bool) -> Iterator[CheckResult]:
    """Check everything; `migrates`: for `kvitto migrate` only, which owns the schema."""
    yield from blocking_problems(facts)
    yield from _durability(facts, allow_non_durable)
    yield _role(facts)
    if not migrates:
        yield from (migrations(facts["pending"]), _privileges(facts))
    yield _session(facts["session"])
    yield _connections(facts)
    yield from _logging(facts)
    yield clock("postgres clock", facts["clock"])


def migrations(pending: Sequence[str] | None) -> CheckResult:
    """Check that the schema is the one that this release needs; None: the role may not read that."""
    if pending is None:
        return warning("postgres migrations", "may not be read by this role", "Run: kvitto migrate --dry-run, as owner")
    message = f"{len(pending)} pending"
    return (
        fault("postgres migrations", message, "Run: kvitto migrate") if pending else ok("postgres migrations", message)
    )


def _version(facts: Facts) -> CheckResult:
    major = int(facts["server_version_num"]) // 10_000
    if major < _MIN_MAJOR:
        return fault("postgres version", f"PostgreSQL {major}", f"Use PostgreSQL {_MIN_MAJOR} or later")
    return ok("postgres version", f"PostgreSQL {major}")


def _encoding(facts: Facts) -> CheckResult:
    encoding = facts["server_encoding"]
    if encoding != "UTF8":
        hint = "Create the database again: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        return fault("postgres encoding", f"is {encoding}: names in other letters cannot be stored", hint)
    return ok("postgres encoding", encoding)


def _role(facts: Facts) -> CheckResult:
    if facts["in_recovery"]:
        return fault("postgres role", "is a standby: it takes no writes", "Name the primary in DATABASE_URL")
    if facts["transaction_read_only"] == "on":
        hint = "Reset default_transaction_read_only for the server, the database and the role"
        return fault("postgres role", "transactions are read-only", hint)
    return ok("postgres role", "primary")


def _durability(facts: Facts, allow_non_durable: bool) -> list[CheckResult]:
    faults = postgres_faults(facts)
    if not faults:
        return [ok("postgres durability", "a commit is on disk before it is confirmed")]
    return [replace(each, level=CheckLevel.WARNING) for each in faults] if allow_non_durable else faults


def _privileges(facts: Facts) -> CheckResult:
    hint = "Connect as a role that only reads and writes the tables; leave the owner to kvitto migrate"
    if facts["superuser"]:
        return warning("postgres privileges", "connects as a superuser", hint)
    if facts["owner"]:
        return warning("postgres privileges", "connects as the owner of the tables", hint)
    return ok("postgres privileges", "neither superuser nor owner")


def _session(settings: Mapping[str, tuple[str, str]]) -> CheckResult:
    """Check that the session has the settings that its connection requested, as (requested, actual)."""
    ignored = [
        f"{name} is {actual!r}, not {wanted!r}" for name, (wanted, actual) in settings.items() if actual != wanted
    ]
    if ignored:
        hint = "Name the server itself in DATABASE_URL, or have the pooler pass on startup options"
        return fault("postgres session", "; ".join(ignored), hint)
    return ok("postgres session", f"has all {len(settings)} requested settings")


def _connections(facts: Facts) -> CheckResult:
    limit = int(facts["max_connections"]) - int(facts["superuser_reserved_connections"])
    hint = "Raise max_connections in postgresql.conf and restart, or put a pooler before it"
    return headroom("postgres connections", facts["connections"], limit, hint)


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
