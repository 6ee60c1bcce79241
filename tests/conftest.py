"""Fixtures shared by all tests."""

import gc
import importlib
import logging
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from jinja2.bccache import Bucket, BytecodeCache
from redis import Redis, RedisError

from app.inbox import client as server
from app.local.certificates import Authority
from app.storage.connection import Connection, connect
from config.redis_address import RedisAddress
from tests.support import databases, servers
from tests.support.kvitto_process import Running, running
from tests.support.scheduling import TwoQueues, has_whole_kvitto

# Compiled tests are kept even where the environment says otherwise: each test process would compile all of them again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A shell has what it starts in the background ignore Ctrl-C, and that would be inherited by all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A test's edge lives until the process ends, and its pool would go on saying that the test's Postgres is gone.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
# So would its circuit breakers. Python prints what no handler takes, and between tests pytest has none.
logging.getLogger().addHandler(logging.NullHandler())
# While tests are collected: what is created then stays, and to look for garbage takes a fifth of the time.
gc.disable()
# A loaded machine is slow, which is no fault of what is tested.
settings.register_profile("kvitto", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kvitto")


_TESTS = Path(__file__).parent


@pytest.hookimpl(trylast=True)  # which Hypothesis asks of whatever takes time
def pytest_sessionstart(session: pytest.Session) -> None:
    """Do once, before test processes start, what each of them would take seconds for.

    Hypothesis keeps its tables of Unicode, and in a fresh clone the constants of each module; pytest keeps compiled
    tests.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    halves = (["tests/unit"], ["tests/integration", "tests/e2e", "tests/browser"])
    is_fresh = _starts_others(session) and not any(_TESTS.rglob("*-pytest-*"))
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q"]
    environment = os.environ | {"PYTEST_XDIST_WORKER": "collects"}  # it does nothing of this once more
    compiling = [
        subprocess.Popen([*collect, *half], env=environment, cwd=servers.ROOT, stdout=subprocess.DEVNULL)
        for half in (halves if is_fresh else ())
    ]
    st.text().validate()
    for process in compiling:
        process.wait()


class _Templates(BytecodeCache):
    """Compiled templates, kept for the next test: each has a console of its own."""

    _kept: ClassVar[dict[str, bytes]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


Flask.jinja_options = {"bytecode_cache": _Templates()}


# The folders whose tests execute the packages whose coverage is measured; tests/unit mirrors those of `app`.
_COVERED = ("integration", *(f"unit/{name}" for name in (
    "crypto", "domain", "inbox", "ingest", "processing", "providers", "storage", "workers",
)))  # fmt: skip


# Modules that use the Kvitto that all share.
_SHARING = pytest.StashKey[set[Path]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its tier: the folder of tests/ that it is in. Put them in the order in which they start.

    Modules with a whole Kvitto, then the others. In each part: early ones, those that use the Kvitto that all share,
    unit tests, the rest; large ones first, else one test process would run on alone. In a module, tests that break the
    shared Kvitto last.
    """
    early = {item.path for item in items if item.get_closest_marker("early")}
    sharing = {item.path for item in items if "shared_kvitto" in _fixtures(item)}
    sizes = {item.path: item.path.stat().st_size for item in items}
    config.stash[_SHARING] = sharing

    def place(item: pytest.Item) -> tuple[object, ...]:
        path = item.path
        return (
            not has_whole_kvitto(_tier(path)), path not in early - sharing, path not in sharing, _tier(path) != "unit",
            path not in early, -sizes[path], path, "empty_kvitto" in _fixtures(item),
        )  # fmt: skip

    items.sort(key=place)
    for item in items:
        item.add_marker(_tier(item.path))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Have some test processes compute while the others wait."""
    return TwoQueues(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what stays until the end: modules, and some thousand tests."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True, specname="pytest_sessionstart")
def pytest_coverage_starts(session: pytest.Session) -> None:
    """Stop what pytest-cov has measured with until now: the test processes each start another one, which counts."""
    if (coverage := _coverage(session.config)) and ("PYTEST_XDIST_WORKER" in os.environ or _starts_others(session)):
        coverage.pause()
        coverage.cov.save()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Measure what an import of the packages executes, and not what pytest does: it would take twice as long."""
    if (coverage := _coverage(session.config)) and not _starts_others(session):
        for package in map(importlib.import_module, coverage.cov.config.source):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)
        coverage.pause()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure the tests that can add coverage. Property-based unit tests repeat what others execute."""
    coverage = _coverage(item.config)
    is_covered = any(item.path.is_relative_to(_TESTS / folder) for folder in _COVERED)
    is_repeated = _tier(item.path) == "unit" and item.get_closest_marker("hypothesis")
    if coverage is None or not is_covered or is_repeated:
        return (yield)
    coverage.resume()
    try:
        return (yield)
    finally:
        coverage.pause()


def _starts_others(session: pytest.Session) -> bool:
    """Return whether other processes run the tests of this one."""
    return str(session.config.getoption("dist", "no")) != "no"


def _coverage(config: pytest.Config) -> Any:
    """Return what pytest-cov measures with, None without --cov."""
    plugin: Any = config.pluginmanager.get_plugin("_cov")
    return plugin and plugin.cov_controller


def _fixtures(item: pytest.Item) -> Sequence[str]:
    return getattr(item, "fixturenames", ())


def _tier(path: Path) -> str:
    return path.relative_to(_TESTS).parts[0]


@pytest.fixture(scope="session", autouse=True)
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have processes use a folder of this session's: workers of one machine share slots there, beats their heartbeats.

    This process keeps the machine's own.
    """
    tempfile.gettempdir()  # from now on it is known, whatever TMPDIR is
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_authority(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have clients trust a certificate authority of this session in place of the hundred and forty public ones.

    No server here shows a certificate of those, and each client would read them all: 30 ms. Downloads need them.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "install" not in {_tier(item.path) for item in request.session.items}:
            patch.setenv("SSL_CERT_FILE", str(Authority(tmp_path_factory.mktemp("authority")).path))
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One PostgreSQL for the session, with a migrated template database.

    Without autovacuum, which would change databases that are used again.
    """
    with servers.postgres(tmp_path_factory.mktemp("postgres"), "-c", "autovacuum=off") as dsn:
        databases.prepare(dsn)
        yield dsn
        databases.leave(dsn)


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """A fresh, migrated database."""
    dsn = databases.create(postgres_server)
    yield dsn
    databases.drop(postgres_server, dsn)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """A connection to the fresh database."""
    with connect(database, "test") as found:
        yield found


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Valkey for the session."""
    with servers.valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def redis(valkey_server: str) -> Iterator[Redis]:
    """A client of an empty Valkey."""
    client = server.connect(RedisAddress.parse(valkey_server))
    client.flushall()
    yield client
    client.close()


class SharedKvitto:
    """One Kvitto for many tests; it runs once a test asks for it."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._current: Running | None = None

    def give_empty(self) -> Running:
        """Return a working, empty Kvitto: the last one if it can be used again, else another."""
        try:
            if self._current:
                self._current.empty()
        except (AssertionError, OSError, psycopg.Error, RedisError):  # a test left it broken
            self.end()
        if not self._current:
            self._current = self._stack.enter_context(running(self._folder() / "data"))
        return self._current

    def end(self) -> None:
        """Stop it, if it runs."""
        self._current = None
        self._stack.close()


@pytest.fixture(scope="session")
def shared_kvitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedKvitto]:
    """The Kvitto that tests share. A process that only waits takes processor time from other tests."""
    shared = SharedKvitto(lambda: tmp_path_factory.mktemp("up"))
    yield shared
    shared.end()


@pytest.fixture(scope="module", autouse=True)
def _unused_kvitto_ends(request: pytest.FixtureRequest) -> None:
    """End the Kvitto that all share before the first module that does not use it."""
    if request.path not in request.config.stash[_SHARING]:
        request.getfixturevalue("shared_kvitto").end()


@pytest.fixture(scope="module")
def kvitto(shared_kvitto: SharedKvitto) -> Running:
    """The whole of Kvitto, as `kvitto up` runs it, for tests that leave it as they found it; empty for each module."""
    return shared_kvitto.give_empty()


@pytest.fixture
def empty_kvitto(shared_kvitto: SharedKvitto) -> Running:
    """The same with nothing in its stores, for tests that break it; what it counted before, it still has."""
    return shared_kvitto.give_empty()


@pytest.fixture
def fresh_kvitto(tmp_path: Path) -> Iterator[Running]:
    """The whole of Kvitto, started for this test."""
    with running(tmp_path / "data") as found:
        yield found
