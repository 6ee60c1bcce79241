"""Refuses servers under which an answered 200 or a commit could be lost.

The edge answers on the strength of Redis' reply, a worker deletes an entry on the strength of
Postgres' commit: both must be on disk before they are confirmed.
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


def redis_faults(settings: Mapping[str, str]) -> list[CheckResult]:
    """Return what in Redis' CONFIG GET, and its `role`, could lose an entry whose append was confirmed.

    A setting that the server hides (managed services refuse CONFIG) counts as a fault: not known is not proven.
    """
    faults = [
        fault(f"redis {name}", f"is {settings.get(name, 'unknown')!r}, must be {right!r}", f"{mend}; {_OVERRIDE}redis")
        for name, (right, mend) in _REDIS.items()
        if settings.get(name) != right
    ]
    if settings.get("role") == "slave" and settings.get(_REPLICA) == "no":
        problem = "is 'no' on a replica, which forgets its own writes when it next follows its primary"
        faults.append(fault(f"redis {_REPLICA}", problem, f"Name the primary in REDIS_URL; {_OVERRIDE}redis"))
    return faults


def postgres_faults(settings: Mapping[str, str]) -> list[CheckResult]:
    """Return what in Postgres' settings (as SHOW gives them) could lose a confirmed commit."""
    return [
        fault(f"postgres {name}", f"is {settings.get(name, 'unknown')!r}", f"{mend}; {_OVERRIDE}postgres")
        for name, (right, mend) in _POSTGRES.items()
        if settings.get(name) not in right
    ]


REDIS_SETTINGS = (*_REDIS, _REPLICA)
POSTGRES_SETTINGS = tuple(_POSTGRES)
