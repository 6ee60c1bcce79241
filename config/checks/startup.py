"""Rules for start-up: servers that could lose an answered 200 or a commit are faults.

Ingest answers once Redis has replied; a worker deletes an entry once Postgres has committed. Both must be on disk by
then.
"""

from collections.abc import Mapping

from config.checks.result import CheckResult, fault

_REDIS = {
    "appendonly": ("yes", "CONFIG SET appendonly yes, and in redis.conf"),
    "appendfsync": ("always", "CONFIG SET appendfsync always, and in redis.conf"),
    "no-appendfsync-on-rewrite": ("no", "CONFIG SET no-appendfsync-on-rewrite no, and in redis.conf"),
    "maxmemory-policy": ("noeviction", "CONFIG SET maxmemory-policy noeviction, and in redis.conf"),
}
_REPLICA = "replica-read-only"
_POSTGRES = {
    "fsync": ({"on"}, "Set fsync = on in postgresql.conf and restart"),
    "full_page_writes": ({"on"}, "Set full_page_writes = on in postgresql.conf and reload"),
    "synchronous_commit": (
        {"on", "local", "remote_write", "remote_apply"},
        "Set synchronous_commit = on for the server, the database and the role",
    ),
}
_OVERRIDE = "or, if losing deliveries is acceptable, set ALLOW_NON_DURABLE="

REDIS_SETTINGS = (*_REDIS, _REPLICA)
POSTGRES_SETTINGS = tuple(_POSTGRES)


def redis_faults(settings: Mapping[str, str]) -> list[CheckResult]:
    """Return the values of Redis' CONFIG GET, and of its `role`, that could lose a confirmed append.

    A setting that the server hides (managed services refuse CONFIG) is a fault: unknown is not proven.
    """
    faults = [
        fault(f"redis {name}", f"is {settings.get(name, 'unknown')!r}, must be {right!r}", f"{hint}; {_OVERRIDE}redis")
        for name, (right, hint) in _REDIS.items()
        if settings.get(name) != right
    ]
    if settings.get("role") == "slave" and settings.get(_REPLICA) == "no":
        problem = "is 'no' on a replica, which loses its own writes when it next follows its primary"
        faults.append(fault(f"redis {_REPLICA}", problem, f"Name the primary in REDIS_URL; {_OVERRIDE}redis"))
    return faults


def postgres_faults(settings: Mapping[str, str]) -> list[CheckResult]:
    """Return the values of Postgres' settings (as SHOW gives them) that could lose a confirmed commit."""
    return [
        fault(f"postgres {name}", f"is {settings.get(name, 'unknown')!r}", f"{hint}; {_OVERRIDE}postgres")
        for name, (right, hint) in _POSTGRES.items()
        if settings.get(name) not in right
    ]
