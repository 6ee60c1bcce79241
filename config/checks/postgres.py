"""What is dangerous about a Postgres, judged by its settings (as pg_settings gives them) and state; asks nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from config.checks.result import CheckLevel, CheckResult, Facts, clock, fault, headroom, ok, warning
from config.checks.startup import POSTGRES_SETTINGS, postgres_faults

_OLDEST = 15
# Errors quote values in their statement, detail and context; a statement that is logged, in its parameters.
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
    """Judge whether it can ever be the ledger; start-up refuses what cannot, and waits for what may pass."""
    return [_version(facts), _encoding(facts)]


def judge(facts: Facts, allow_non_durable: bool, migrates: bool) -> Iterator[CheckResult]:
    """Judge everything; `migrates`: it is looked at for `kvitto migrate` alone, which owns the schema."""
    yield from blocking_problems(facts)
    yield from _durability(facts, allow_non_durable)
    yield _role(facts)
    if not migrates:
        yield from (migrations(facts["pending"]), _privileges(facts))
    yield _connections(facts)
    yield from _logging(facts)
    yield clock("postgres clock", facts["clock"])


def migrations(pending: Sequence[str] | None) -> CheckResult:
    """Judge whether the schema is the one that this release needs; None: the role may not know."""
    if pending is None:
        return warning("postgres migrations", "may not be read by this role", "Run: kvitto migrate --dry-run, as owner")
    found = f"{len(pending)} pending"
    return fault("postgres migrations", found, "Run: kvitto migrate") if pending else ok("postgres migrations", found)


def _version(facts: Facts) -> CheckResult:
    major = int(facts["server_version_num"]) // 10_000
    if major < _OLDEST:
        return fault("postgres version", f"PostgreSQL {major}", f"Use PostgreSQL {_OLDEST} or later")
    return ok("postgres version", f"PostgreSQL {major}")


def _encoding(facts: Facts) -> CheckResult:
    encoding = facts["server_encoding"]
    if encoding != "UTF8":
        mend = "Make the database anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        return fault("postgres encoding", f"is {encoding}: names in other letters cannot be stored", mend)
    return ok("postgres encoding", encoding)


def _role(facts: Facts) -> CheckResult:
    if facts["in_recovery"]:
        return fault("postgres role", "is a standby: it takes no writes", "Name the primary in DATABASE_URL")
    if facts["transaction_read_only"] == "on":
        mend = "Reset default_transaction_read_only for the server, the database and the role"
        return fault("postgres role", "transactions are read-only", mend)
    return ok("postgres role", "primary")


def _durability(facts: Facts, allow_non_durable: bool) -> list[CheckResult]:
    faults = postgres_faults(facts)
    if not faults:
        return [ok("postgres durability", "a commit is on disk before it is confirmed")]
    return [replace(each, level=CheckLevel.WARNING) for each in faults] if allow_non_durable else faults


def _privileges(facts: Facts) -> CheckResult:
    mend = "Connect as a role that only reads and writes the tables; leave the owner to kvitto migrate"
    if facts["superuser"]:
        return warning("postgres privileges", "connects as a superuser", mend)
    if facts["owner"]:
        return warning("postgres privileges", "connects as the owner of the tables", mend)
    return ok("postgres privileges", "neither superuser nor owner")


def _connections(facts: Facts) -> CheckResult:
    limit = int(facts["max_connections"]) - int(facts["superuser_reserved_connections"])
    mend = "Raise max_connections in postgresql.conf and restart, or put a pooler before it"
    return headroom("postgres connections", facts["connections"], limit, mend)


def _logging(facts: Facts) -> list[CheckResult]:
    judged = dict(_LOGGED)
    if facts.get("log_parameter_max_length") != "0":
        judged |= _LOGGED_WITH_PARAMETERS
    mend = "Set {name} = {right} in postgresql.conf and reload"
    return [
        warning(f"postgres {name}", f"is {facts[name]!r}: values get into its log", mend.format(name=name, right=right))
        for name, (sound, right) in judged.items()
        if facts.get(name, right) not in sound
    ] or [ok("postgres logging", "no values get into its log")]
