"""A Valkey of its own, whose folder can be copied and put back, as a restored backup or a snapshot would."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from redis import Redis

from app.inbox.client import connect
from app.local.embedded_servers import prepare_valkey, valkey_answers
from config.redis_address import RedisAddress
from tests.support.ports import free_port
from tests.support.servers import REDIS_CONF, eventually


class RedisServer:
    """Serves a folder on a port that stays the same, under a copy of redis.conf: a sentinel has it written again."""

    def __init__(self, folder: Path, password: str = "") -> None:
        self.port = free_port()
        login = f":{quote(password, safe='')}@" if password else ""
        self.url = f"redis://{login}127.0.0.1:{self.port}/0"
        self.client: Redis = connect(RedisAddress.parse(self.url))
        self._folder = folder
        self._options = ["--requirepass", password, "--masterauth", password] if password else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that serves it."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def start(self) -> None:
        """Serve the folder as it is."""
        configuration = self._folder.with_suffix(".conf")
        if not configuration.exists():
            shutil.copy(REDIS_CONF, configuration)
        command = [*prepare_valkey(self._folder, self.port, configuration), "--repl-diskless-sync-delay", "0"]
        with self._folder.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        eventually(lambda: valkey_answers(self.url), "valkey ready")

    def kill(self) -> None:
        """End the server without warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def copy(self) -> Path:
        """Copy the folder while it is served."""
        copied = self._folder.with_suffix(".copy")
        shutil.rmtree(copied, ignore_errors=True)
        return shutil.copytree(self._folder, copied)

    def set_back(self, copied: Path) -> None:
        """Kill the server, and serve a copy of its folder instead."""
        self.kill()
        shutil.rmtree(self._folder)
        shutil.copytree(copied, self._folder)
        self.start()

    def follow(self, primary: Redis) -> None:
        """Become a replica, and wait until it has all of its primary's data."""
        self.client.replicaof("127.0.0.1", str(primary.connection_pool.connection_kwargs["port"]))
        self.await_caught_up(primary)

    def await_caught_up(self, primary: Redis) -> None:
        """Wait until this replica has applied what its primary has written."""

        def is_equal() -> bool:
            own, other = self.client.info("replication"), primary.info("replication")
            is_up = own.get("master_link_status") == "up"
            return is_up and own["slave_repl_offset"] == other["master_repl_offset"]

        eventually(is_equal, "a replica that has caught up")

    def promote(self) -> None:
        """Stop following the primary: writes are accepted."""
        self.client.replicaof("NO", "ONE")


@contextmanager
def redis_server(folder: Path, password: str = "") -> Iterator[RedisServer]:
    """Serve a Valkey for the duration of a block."""
    server = RedisServer(folder, password)
    server.start()
    try:
        yield server
    finally:
        server.client.close()
        server.kill()
