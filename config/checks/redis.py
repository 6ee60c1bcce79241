"""Rules for Redis, by its INFO (names with _) and CONFIG GET (names with -).

Ingest answers once Redis has replied. So a server whose reply does not prove that the write is on disk is a fault.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from config.checks.result import (
    CheckResult,
    Facts,
    clock,
    durability,
    expect,
    fault,
    headroom,
    ok,
    only_faults,
    unsafe,
    warning,
)

# `entries-added`, which the audit counts by, came with Redis 7.0; Valkey began as 7.2.
_MIN_VERSION = (7, 0)
# What the seal and the stream add to a body, generously.
_ENVELOPE_BYTES = 4096
# A pooled connection that the server closes costs the next delivery a new one.
_IDLE_SECONDS = 300

_DURABLE = {
    "appendonly": (("yes",), "CONFIG SET appendonly yes, and in redis.conf"),
    "appendfsync": (("always",), "CONFIG SET appendfsync always, and in redis.conf"),
    "no-appendfsync-on-rewrite": (("no",), "CONFIG SET no-appendfsync-on-rewrite no, and in redis.conf"),
    "maxmemory-policy": (("noeviction",), "CONFIG SET maxmemory-policy noeviction, and in redis.conf"),
}
_DURABLE_REPLICA = {
    "replica-read-only": (
        ("yes",),
        "Name the primary in REDIS_URL: a replica loses its own writes when it next follows its primary",
    )
}
DURABILITY_SETTINGS = (*_DURABLE, *_DURABLE_REPLICA)
# As ALLOW_NON_DURABLE lists them.
DURABILITY_NAMES = tuple(f"redis.{name}" for name in DURABILITY_SETTINGS)
CONFIG = (
    *DURABILITY_SETTINGS,
    "timeout", "proto-max-bulk-len", "client-query-buffer-limit", "save", "stop-writes-on-bgsave-error",
    "min-replicas-to-write",
)  # fmt: skip


def blocking_problems(facts: Facts) -> list[CheckResult]:
    """Check what waiting cannot fix: start-up fails on these faults and waits for all others."""
    return [_version(facts), _mode(facts)]


@dataclass(frozen=True, slots=True)
class Use:
    """What is asked of Redis.

    exceptions: settings that need not be durable, as `redis.setting`.
    keeps_deliveries: whether deliveries wait in it until they are processed, or in Postgres.
    replicas: how many replicas must confirm an append.
    body_limit_bytes: the limit of ingest; None if ingest is not checked.
    """

    exceptions: Collection[str] = ()
    keeps_deliveries: bool = True
    replicas: int = 0
    body_limit_bytes: int | None = None


def check(facts: Facts, use: Use) -> Iterator[CheckResult]:
    """Check everything."""
    yield from (blocking := blocking_problems(facts))
    if only_faults(blocking):
        return
    yield from _durability(facts, use)
    yield from _writable(facts)
    yield from _replicas(facts, use)
    yield from _limits(facts)
    if use.body_limit_bytes is not None:
        yield _body_limit(facts, use.body_limit_bytes)
    foreign = facts.get("foreign", 0)
    message = f"{foreign} of the {facts.get('looked_at', 0)} keys inspected are not Kvitto's"
    hint = "Give Kvitto a server of its own: what empties or fills that one takes the inboxes with it"
    yield warning("redis keys", message, hint) if foreign else ok("redis keys", message)
    yield clock("redis clock", facts["clock"])


def unsafe_settings(facts: Facts) -> list[CheckResult]:
    """Return what could lose a confirmed append."""
    faults = unsafe("redis", _DURABLE | _DURABLE_REPLICA if facts.get("role") == "slave" else _DURABLE, facts)
    allowed = "this server allows DURABLE_STORE=postgres"
    hidden = f"Grant CONFIG GET to this user, if the server has it; {allowed}"
    return [
        replace(result, hint=f"{result.hint}; {allowed}" if _name(result) in facts else hidden) for result in faults
    ]


def _name(result: CheckResult) -> str:
    return result.name.removeprefix("redis ")


def _durability(facts: Facts, use: Use) -> list[CheckResult]:
    """Check the settings, and say which values of DURABLE_STORE this server allows."""
    faults = unsafe_settings(facts)
    if not use.keeps_deliveries:
        allowed = "postgres" if faults else "redis or postgres"
        return [ok("redis durability", f"not needed; this server allows DURABLE_STORE={allowed}")]
    message = "a reply means that the write is on disk; this server allows DURABLE_STORE=redis or postgres"
    return durability("redis durability", faults, message, use.exceptions)


def _version(facts: Facts) -> CheckResult:
    name = "Valkey" if "valkey_version" in facts else "Redis"
    version = str(facts.get("valkey_version") or facts.get("redis_version") or "")
    if not version:
        return warning("redis version", "is hidden", "Allow INFO, or make sure of Redis 7.0 or Valkey 7.2")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    message = f"{name} {version}"
    return expect("redis version", numbers >= _MIN_VERSION, message, message, "Use Redis 7.0 or Valkey 7.2 at least")


def _mode(facts: Facts) -> CheckResult:
    mode = str(facts.get("server_mode") or facts.get("redis_mode") or "unknown")
    hint = "Name a server that is not part of a cluster: an inbox and its epoch change in one transaction"
    return expect("redis mode", mode not in ("cluster", "sentinel"), mode, mode, hint)


def _writable(facts: Facts) -> Iterator[CheckResult]:
    """Check what has the server refuse all writes, now or soon."""
    role = str(facts.get("role", "unknown"))
    problem, hint = "is a replica, which takes no deliveries", "Name the primary in REDIS_URL"
    yield expect("redis role", role != "slave", role, problem, hint)
    loading = facts.get("loading") or facts.get("async_loading")
    hint = "Wait until it has: it answers nothing before"
    yield expect("redis loading", not loading, "done", "still reads its file", hint)
    yield _last_write(facts)


def _replicas(facts: Facts, use: Use) -> Iterator[CheckResult]:
    needed, connected = int(facts.get("min-replicas-to-write", 0)), int(facts.get("connected_slaves", 0))
    message = f"{connected} connected"
    if needed > connected:
        hint = "Start the replicas, or CONFIG SET min-replicas-to-write 0"
        yield fault("redis replicas", f"{message}, writes need {needed}", hint)
    elif use.replicas > connected:
        hint = "Start the replicas, or lower INBOX_REPLICAS; until then deliveries go to Postgres"
        yield fault("redis replicas", f"{message}, an append needs {use.replicas}", hint)
    elif connected and use.keeps_deliveries and not use.replicas:
        hint = "Set INBOX_REPLICAS=1, or never promote a replica"
        yield warning("redis replicas", f"{message}, none must confirm: a fail-over loses what they lack", hint)
    else:
        yield ok("redis replicas", message)


def _last_write(facts: Facts) -> CheckResult:
    if facts.get("aof_last_write_status", "ok") != "ok":
        return fault("redis last write", "to the append-only file failed", "Free disk space and read Redis' log")
    if facts.get("rdb_last_bgsave_status", "ok") != "ok":
        hint = 'Repair the folder named by CONFIG GET dir, then BGSAVE; or CONFIG SET save "", which needs no snapshots'
        stops_writes = facts.get("stop-writes-on-bgsave-error") == "yes" and facts.get("save")
        return (fault if stops_writes else warning)("redis last write", "of a snapshot failed", hint)
    if facts.get("aof_last_bgrewrite_status", "ok") != "ok":
        return warning("redis last write", "the rewrite of the append-only file failed", "Free memory or disk space")
    return ok("redis last write", "succeeded")


def _limits(facts: Facts) -> Iterator[CheckResult]:
    """Check memory, connections, and the time-out of idle connections."""
    if "maxmemory" not in facts:
        yield warning("redis memory", "is hidden", "Allow INFO, or monitor its memory elsewhere")
    elif not facts["maxmemory"]:
        hint = "CONFIG SET maxmemory to what the machine can spare, and in redis.conf"
        yield warning("redis memory", "maxmemory is 0: the kernel decides when it is full, by killing", hint)
    else:
        hint = "Start workers to drain the inboxes, or raise maxmemory: a full server refuses deliveries"
        yield headroom("redis memory", facts["used_memory"], facts["maxmemory"], hint)
    if "maxclients" not in facts:
        yield warning("redis clients", "are hidden", "Allow INFO, or monitor its connections elsewhere")
    else:
        hint = "CONFIG SET maxclients higher, and in redis.conf; each ingest process may hold 256"
        yield headroom("redis clients", facts["connected_clients"], facts["maxclients"], hint)
    seconds = int(facts.get("timeout", 0))
    if 0 < seconds < _IDLE_SECONDS:
        problem = f"closes connections that are idle for {seconds} s"
        yield warning("redis timeout", problem, "CONFIG SET timeout 0, and in redis.conf")
    else:
        yield ok("redis timeout", f"{seconds} s" if seconds else "none")


def _body_limit(facts: Facts, body_limit_bytes: int) -> CheckResult:
    needed = body_limit_bytes + _ENVELOPE_BYTES
    for name in ("proto-max-bulk-len", "client-query-buffer-limit"):
        if int(facts.get(name, needed)) < needed:
            hint = f"CONFIG SET {name} {needed} at least, and in redis.conf; or lower BODY_LIMIT_BYTES"
            return fault(f"redis {name}", f"{facts[name]} bytes, less than a body of BODY_LIMIT_BYTES sealed", hint)
    return ok("redis proto-max-bulk-len", "takes a body of BODY_LIMIT_BYTES")
