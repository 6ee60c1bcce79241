"""Runs all checks before a process starts: of settings, credentials, folders and servers."""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from email.message import Message
from urllib.parse import urlsplit
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError

from app import metrics
from app.domain.delivery import Delivery
from app.errors import AuthenticationError, SignInError, StoreUnavailableError
from app.inbox import client as inbox_server
from app.inbox import wakeup
from app.inbox.reader import InboxReader
from app.inbox.stream import Inbox
from app.preflight.configuration import Configuration
from app.preflight.startup import EVERY_EXCEPTION
from app.processing.saved_request import SavedRequest
from app.providers import registry
from app.storage import server_info as ledger_server
from app.storage.connection import translate_errors
from app.storage.roles import migration_problems
from app.tls import trusting
from config.checks import postgres, redis
from config.checks.result import CheckResult, fault, ok, only_faults
from config.environment import ConfigurationError, Environment
from config.folders import private_folder
from config.redis_address import RedisAddress

_REDIS_HINT = "Start it, or correct host, port, user and password in REDIS_URL"
# Processes that write neither deliveries nor what becomes of them.
_READERS = {"console", "beat", "subscriptions"}
# By process, whose role in Postgres it has.
_ROLES = {"ingest": "ingest", "worker": "worker", "console": "console", "subscriptions": "worker"}
# By reason, where it says more than that.
_HINTS = {
    "redis-certificate-not-trusted": "Name its authority in CA_FILE, and in the address the host that it is for",
    "redis-no-permission": "Grant it with ACL SETUSER; docs/operations.md lists what Kvitto needs",
}


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """The results: of settings, credentials and folders; and of servers."""

    settings: list[CheckResult]
    servers: list[CheckResult]

    @property
    def status(self) -> int:
        """The exit status: 78 for faults of settings, else 1 for faults of servers, else 0."""
        if only_faults(self.settings):
            return 78
        return 1 if only_faults(self.servers) else 0


def run_checks(
    variables: Mapping[str, str], processes: Collection[str], removed: Collection[str] = ()
) -> PreflightReport:
    """Check everything that these processes would use if `variables` were their environment.

    `removed` are the names of variables that every command removes from it.
    """
    configuration = Configuration(variables, processes)
    settings = [*configuration.results(removed), *_check_credentials(configuration), *_check_folders(configuration)]
    settings += _check_authorities(configuration)
    servers = [*_ask_redis(configuration)]
    is_shared = configuration.get("broker") == configuration.get("redis")
    if not is_shared or (servers and not only_faults(servers)):  # a fault of the shared server is reported already
        servers += _ask_broker(configuration)
    try:
        servers += _ask_postgres(configuration)
    except ConfigurationError as error:
        settings += error.faults
    servers += _ask_issuer(configuration)
    return PreflightReport(settings, servers)


def _check_credentials(configuration: Configuration) -> Iterator[CheckResult]:
    """Check that ingest would accept a request with each credential of its providers whose secrets are readable."""
    providers = configuration.get("providers") if "ingest" in configuration.processes else ()
    for provider in providers:
        environment = Environment(configuration.variables)
        authentication = registry.load_authentication(provider, environment)
        samples = getattr(authentication, "sample_requests", None)  # optional in a provider's folder
        if authentication is None or environment.faults or samples is None:
            continue
        reasons = []
        for position, (topic, headers, body) in enumerate(samples(), start=1):
            received = Message()
            for header, value in headers.items():
                received[header] = value.encode().decode("latin-1")  # as WSGI decodes the bytes of headers
            try:
                authentication.authenticate(SavedRequest(provider, topic, received, body))
            except AuthenticationError as error:
                reasons.append(f"a request with credential {position} is rejected: {error.reason}")
        name = f"{provider} credentials"
        hint = "Use credentials of ASCII characters, or ask the provider for others: HTTP headers carry nothing else"
        yield fault(name, "; ".join(reasons), hint) if reasons else ok(name, "requests with each are accepted")


def _check_authorities(configuration: Configuration) -> Iterator[CheckResult]:
    """Check that beat can read which certificates it trusts, if it sends canaries by HTTPS."""
    if configuration.get("canary_secret") and urlsplit(configuration.get("ingest_url")).scheme != "http":
        try:
            trusting(authority="")  # that of CA_FILE is checked already
            yield ok("trusted authorities", "can be read")
        except ConfigurationError as error:
            yield from error.faults


def _check_folders(configuration: Configuration) -> Iterator[CheckResult]:
    """Check the folders of worker slots, of beat's heartbeat and of metrics, where processes use them."""
    for process, name, purpose in (("worker", "worker slots", "slots"), ("beat", "beat's heartbeat", "beat")):
        if process in configuration.processes:
            try:
                yield ok(name, f"{private_folder(purpose)} is writable")
            except ConfigurationError as error:
                yield from (replace(result, name=name) for result in error.faults)
    if configuration.get("metrics_bind"):
        yield _check_metrics()


def _check_metrics() -> CheckResult:
    """Check that there is room for one process's counters. Without, a process starts, and its counts are not served."""
    hint = f"Make {metrics.BYTES_PER_PROCESS // 1024} KB of room there for each process, or name another in TMPDIR"
    try:
        with tempfile.TemporaryFile(dir=private_folder("metrics")) as file:
            file.write(bytes(metrics.BYTES_PER_PROCESS))
    except ConfigurationError as error:
        return replace(error.faults[0], name="metrics")
    except OSError as error:
        return fault("metrics", f"the temporary folder cannot be written ({error.strerror}): nothing is counted", hint)
    return ok("metrics", "there is room for what processes count")


def _ask_redis(configuration: Configuration) -> Iterator[CheckResult]:
    """Check the server of the inboxes with the client of the processes; no results if its address is not known."""
    if (address := configuration.address("redis")) is None:
        return
    try:
        if set(configuration.processes) <= _READERS:
            yield from _read_inboxes(address, configuration.get("providers"))
            return
        with closing(inbox_server.connect(address)) as client:
            facts = inbox_server.server_info(client, configuration.get("providers"))
            permissions = list(_check_permissions(client))
    except StoreUnavailableError as error:
        yield fault("redis", f"{error} ({type(error.__cause__).__name__})", _HINTS.get(error.reason, _REDIS_HINT))
        return
    yield ok("redis", "answers")
    use = redis.Use(
        configuration.get("durability_exceptions"),
        configuration.get("durable_store") != "postgres",
        configuration.get("inbox_replicas") or 0,
        configuration.get("body_limit_bytes"),
    )
    yield from redis.check(facts, use)
    yield from permissions


def _read_inboxes(address: RedisAddress, providers: Collection[str]) -> Iterator[CheckResult]:
    """Do what the console does, whose user may have no other rights; raises StoreUnavailableError."""
    with closing(InboxReader(address, providers)) as reader, closing(inbox_server.connect(address)) as client:
        faults = inbox_server.startup_errors(client, EVERY_EXCEPTION)
        reader.backlogs()
        reader.memory()
    yield ok("redis", "answers, and gives what the console shows")
    yield from faults


def _check_permissions(client: Redis) -> Iterator[CheckResult]:
    """Do on an inbox of its own what ingest and workers do; other failures are reported by what causes them."""
    inbox = Inbox(client, f"check/{uuid4()}")
    try:
        inbox.open()
        inbox.append(Delivery(uuid4(), inbox.provider, "check", {}, b""))
        inbox.receipts()
        inbox.mark_wakeup_pending()
        inbox.clear_wakeup()
        batch = [*inbox.claim("check"), *inbox.pending("check")]
        inbox.release("check")
        inbox.claim_abandoned("check")
        inbox.acknowledge(batch)
        inbox.recover_skipped()
        inbox.end_epoch(epoch := inbox.mark().epoch, newest=epoch)
        inbox.backlog()
        inbox.consumers_with_claims()
        inbox.remove_idle_consumers(timedelta(days=1))
    except StoreUnavailableError as error:
        if error.reason == "redis-no-permission":
            yield fault("redis permissions", error.detail, _HINTS[error.reason])
    else:
        yield ok("redis permissions", "this user may run what ingest and workers run")
    finally:
        with suppress(RedisError):
            client.delete(*inbox.keys)


def _ask_broker(configuration: Configuration) -> Iterator[CheckResult]:
    """Check that the broker of the wake-ups answers its publishers; it holds nothing that could be lost."""
    if (address := configuration.address("broker")) is None:
        return
    try:
        wakeup.check(address, configuration.get("providers"))
        yield ok("broker", "takes and gives wake-ups")
    except StoreUnavailableError as error:
        hint = "Start it, or correct CELERY_BROKER_URL; until then only sweeps drain"
        yield fault("broker", str(error), _HINTS.get(error.reason.replace("broker-", "redis-"), hint))


def _ask_postgres(configuration: Configuration) -> Iterator[CheckResult]:
    """Check the server of the ledger; no results if its address is not known."""
    if (dsn := configuration.address("database_url")) is None:
        return
    migrates = set(configuration.processes) <= {"migrate"}
    roles = dict.fromkeys(_ROLES[process] for process in configuration.processes if process in _ROLES)
    try:
        with translate_errors(), ledger_server.connect_to_any(dsn) as connection:
            facts = ledger_server.server_info(connection, roles)
            prefix, passwords = configuration.get("role_prefix"), configuration.get("role_passwords")
            problems = migration_problems(connection, prefix, passwords) if migrates else []
    except StoreUnavailableError as error:
        hint = "Start it, or correct host, port, user, password and database in DATABASE_URL"
        yield fault("postgres", f"{error.reason}: {ledger_server.server_message(error)}", hint)
        return
    yield ok("postgres", "answers")
    if migrates:
        yield from problems or [ok("postgres roles", "this role may migrate")]
    only_reads = set(configuration.processes) <= _READERS
    exceptions = EVERY_EXCEPTION if only_reads else configuration.get("durability_exceptions")
    yield from postgres.check(facts, exceptions, migrates)


def _ask_issuer(configuration: Configuration) -> Iterator[CheckResult]:
    """Ask the identity provider as the console does when a person signs in; no results without one."""
    if (oidc := configuration.get("oidc")) is None:
        return
    from app.oidc.issuer import Issuer  # noqa: PLC0415 - it needs the extra `oidc`

    try:
        Issuer(oidc, configuration.get("authority")).check()
        yield ok("identity provider", f"{oidc.host} answers, and accepts this client")
    except SignInError as error:
        yield fault("identity provider", error.detail, error.hint)
