"""The stores on hosts of their own: Redis with a replica and sentinels, Postgres with a standby, and PgBouncer."""

import shutil
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from app.local.embedded_servers import postgres_answers, prepare_postgres, prepare_valkey, valkey_answers
from app.local.postgres_user import postgres_user
from app.storage.roles import role_names
from tests.support.servers import REDIS_CONF, eventually
from tests.topology.network import Host

PRIMARY_NAME = "mymaster"
_SENTINEL_PORT, REDIS_PORT, POSTGRES_PORT, PGBOUNCER_PORT = 26379, 6379, 5432, 6432
# Long enough to copy a small ledger, or to elect a primary, on a busy machine.
_SECONDS = 120.0


class RedisPair:
    """Two servers, of which one follows the other, and three sentinels that promote it."""

    def __init__(self, servers: tuple[Host, Host], arbiter: Host) -> None:
        self._servers = servers
        self._sentinels = (*servers, arbiter)
        for host in servers:
            self.start(host)
        self._client(servers[1]).replicaof(servers[0].address, REDIS_PORT)
        for host in self._sentinels:
            self._start_sentinel(host)
        self.await_whole()

    @property
    def url(self) -> str:
        """The address by the sentinels."""
        hosts = ",".join(f"{host.address}:{_SENTINEL_PORT}" for host in self._sentinels)
        return f"redis+sentinel://{hosts}/{PRIMARY_NAME}/0"

    def start(self, host: Host) -> None:
        """Start a server on its data."""
        configuration = host.folder / "redis.conf"
        if not configuration.exists():
            shutil.copy(REDIS_CONF, configuration)
        options = ["--bind", host.address, "--protected-mode", "no", "--repl-diskless-sync-delay", "0"]
        command = prepare_valkey(host.folder / "redis", REDIS_PORT, configuration)
        host.start("redis", [*command, *options], {})
        eventually(lambda: valkey_answers(f"redis://{host.address}:{REDIS_PORT}/0"), "Redis ready", _SECONDS)

    def start_again(self, host: Host) -> None:
        """Start server and sentinel of a host that died."""
        host.connect()
        self.start(host)
        self._start_sentinel(host)

    def in_order(self) -> tuple[Host, Host]:
        """Return the primary, as most sentinels see it, and the other host."""
        seen = [address for host in self._sentinels if (address := self._primary_seen_by(host))]
        primary = max(seen, key=seen.count)
        first, second = self._servers
        return (first, second) if first.address == primary else (second, first)

    def fail_over(self) -> None:
        """Have the sentinels promote the replica."""
        _, replica = self.in_order()
        with closing(Redis(self._sentinels[2].address, _SENTINEL_PORT)) as sentinel:
            sentinel.sentinel_failover(PRIMARY_NAME)
        self.await_promoted(replica)

    def await_promoted(self, host: Host) -> None:
        """Wait until the sentinels agree that a host has the primary."""

        def is_promoted() -> bool:
            return self.in_order()[0] is host and self._replication(host).get("role") == "master"

        eventually(is_promoted, f"{host.name} promoted", _SECONDS)

    def await_whole(self) -> None:
        """Wait until one server follows the other, and every sentinel would promote it."""

        def is_whole() -> bool:
            primary, replica = self.in_order()
            own = self._replication(replica)
            states = [self._state(host) for host in self._sentinels]
            return (own.get("master_host"), own.get("master_link_status")) == (primary.address, "up") and all(
                (state.get("num-slaves"), state.get("num-other-sentinels"), state.get("flags")) == (1, 2, "master")
                for state in states
            )

        eventually(is_whole, "a primary, its replica and three sentinels", _SECONDS)

    def _start_sentinel(self, host: Host) -> None:
        configuration = host.folder / "sentinel.conf"
        if not configuration.exists():
            lines = [
                f"port {_SENTINEL_PORT}", f"bind {host.address}", "protected-mode no", f"dir {host.folder}",
                f"sentinel monitor {PRIMARY_NAME} {self._servers[0].address} {REDIS_PORT} 2",
                f"sentinel down-after-milliseconds {PRIMARY_NAME} 3000",
                f"sentinel failover-timeout {PRIMARY_NAME} 10000",
            ]  # fmt: skip
            configuration.write_text("\n".join([*lines, ""]))
        program = prepare_valkey(host.folder / "unused", 0, configuration)[0]
        host.start("sentinel", [program, str(configuration), "--sentinel"], {})

    def _primary_seen_by(self, host: Host) -> str:
        return str(self._state(host).get("ip", ""))

    @staticmethod
    def _state(host: Host) -> dict[str, Any]:
        with (
            suppress(RedisError),
            closing(Redis(host.address, _SENTINEL_PORT, decode_responses=True, socket_timeout=2)) as sentinel,
        ):
            return dict(sentinel.sentinel_master(PRIMARY_NAME))  # type: ignore[arg-type]
        return {}

    def _replication(self, host: Host) -> dict[str, Any]:
        with suppress(RedisError), closing(self._client(host)) as client:
            return dict(client.info("replication"))
        return {}

    @staticmethod
    def _client(host: Host) -> Redis:
        return Redis(host.address, REDIS_PORT, decode_responses=True, socket_timeout=2)


class PostgresPair:
    """A primary and a synchronous standby. `fail_over` is the script that an operator or a service would run."""

    def __init__(self, servers: tuple[Host, Host]) -> None:
        self.primary, self.standby = servers
        self._command(self.primary)  # makes the cluster
        hba = self.primary.folder / "postgres" / "pg_hba.conf"
        network = f"{self.primary.address.rpartition('.')[0]}.0/24"
        hba.write_text(f"{hba.read_text()}host all,replication all {network} trust\n")
        self._start(self.primary)
        with psycopg.connect(self.dsn_of(self.primary, "postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE kvitto")
        self.follow()

    @staticmethod
    def dsn_of(host: Host, database: str = "kvitto") -> str:
        """Return the owner's address of a database on one host."""
        return f"postgresql://kvitto@{host.address}:{POSTGRES_PORT}/{database}"

    def dsn(self, role: str) -> str:
        """Return the address by which Kvitto finds the primary by itself."""
        hosts = ",".join(f"{host.address}:{POSTGRES_PORT}" for host in (self.primary, self.standby))
        return f"postgresql://{role}@{hosts}/kvitto"

    def follow(self) -> None:
        """Make the standby again, as a copy of the primary that confirms each commit."""
        data = self.standby.folder / "postgres"
        shutil.rmtree(data, ignore_errors=True)
        server, user = self._program("pg_basebackup"), postgres_user(self.standby.folder, self._program("").parent)
        user.give(self.standby.folder)
        source = f"host={self.primary.address} port={POSTGRES_PORT} user=kvitto application_name=standby"
        words = [
            *user.prefix,
            server,
            "--pgdata",
            data,
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--dbname",
            source,
        ]
        done = self.standby.run(list(map(str, words)), {}, Path("/"))
        assert done.returncode == 0, done.stderr
        self._start(self.standby)
        self._set(self.primary, "synchronous_standby_names", "standby")
        query = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"

        def follows() -> bool:
            with psycopg.connect(self.dsn_of(self.primary), autocommit=True) as connection:
                return connection.execute(query).rowcount == 1

        eventually(follows, "a synchronous standby", _SECONDS)

    def fail_over(self) -> None:
        """Promote the standby of a primary that is gone for good; the former primary becomes its standby later."""
        user = postgres_user(self.standby.folder, self._program("").parent)
        words = [
            *user.prefix,
            self._program("pg_ctl"),
            "promote",
            "--wait",
            "--pgdata",
            self.standby.folder / "postgres",
        ]
        done = self.standby.run(list(map(str, words)), {}, Path("/"))
        assert done.returncode == 0, done.stderr + done.stdout
        self._set(self.standby, "synchronous_standby_names", "")
        self.primary, self.standby = self.standby, self.primary

    def confirm_alone(self) -> None:
        """Have the primary confirm commits without its standby, which follows still."""
        self._set(self.primary, "synchronous_standby_names", "")

    def _start(self, host: Host) -> None:
        host.start("postgres", self._command(host), {}, Path("/"))
        eventually(lambda: postgres_answers(self.dsn_of(host, "postgres")), f"Postgres on {host.name}", _SECONDS)

    @staticmethod
    def _command(host: Host) -> list[str]:
        command = prepare_postgres(host.folder / "postgres", POSTGRES_PORT)
        return [word.replace("listen_addresses=127.0.0.1", f"listen_addresses={host.address}") for word in command]

    def _program(self, name: str) -> Path:
        server = next(word for word in self._command(self.primary) if word.endswith("/postgres") and "bin" in word)
        return Path(server).parent / name if name else Path(server)

    def _set(self, host: Host, name: str, value: str) -> None:
        with psycopg.connect(self.dsn_of(host, "postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")


class PgBouncer:
    """A pooler before the primary; the script of a fail-over points it to the other server."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._configuration = host.folder / "pgbouncer.ini"

    def dsn(self, role: str) -> str:
        """Return the address behind it."""
        return f"postgresql://{role}@{self._host.address}:{PGBOUNCER_PORT}/kvitto"

    def lead_to(self, primary: Host) -> None:
        """Write the configuration; start it, or have it read that again and close what leads elsewhere."""
        users = self._host.folder / "users.txt"
        users.write_text("".join(f'"{role}" ""\n' for role in ("kvitto", *role_names("kvitto"))))
        lines = (
            "[databases]", f"* = host={primary.address} port={POSTGRES_PORT}", "[pgbouncer]",
            f"listen_addr = {self._host.address}", f"listen_port = {PGBOUNCER_PORT}", "unix_socket_dir =",
            "auth_type = trust", f"auth_file = {users}", "pool_mode = transaction", "server_login_retry = 1",
        )  # fmt: skip
        self._configuration.write_text("\n".join([*lines, ""]))
        if "pgbouncer" in self._host.processes:
            self._host.stop("pgbouncer")
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
        assert program, "pgbouncer is not installed: run tests/prepare"
        self._host.start("pgbouncer", [program, "--quiet", "--user", "nobody", str(self._configuration)], {})


def require_tools() -> None:
    """Raise AssertionError unless this machine lets hosts be made."""
    done = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"network namespaces need root: {done.stderr}"
    for program in ("ip", "gcc", "pgbouncer"):
        assert shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"), (
            f"{program} is missing (Debian: iproute2, gcc, pgbouncer)"
        )
