"""A primary of Redis and its replica, watched by a sentinel that promotes the replica when the primary is gone."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from app.local.embedded_servers import prepare_valkey
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, redis_server
from tests.support.servers import eventually, serving

PRIMARY_NAME = "mymaster"
SENTINEL_PASSWORD = "sentinels"
# A sentinel looks again after seconds, and starts no second fail-over before it has given up the first.
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class WatchedPair:
    """Two servers, of which one follows the other, and the sentinel's port."""

    servers: tuple[RedisServer, RedisServer]
    sentinel: Redis
    password: str

    @property
    def sentinel_port(self) -> int:
        """The port of the sentinel."""
        return int(self.sentinel.connection_pool.connection_kwargs["port"])

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead to the primary, whichever it is."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        url = f"redis+sentinel://{login}127.0.0.1:{self.sentinel_port}/{PRIMARY_NAME}"
        return {"REDIS_URL": url, "REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD}

    def in_order(self) -> tuple[RedisServer, RedisServer]:
        """Return the primary, as the sentinel sees it, and the other server."""
        first, second = self.servers
        address: Any = self.sentinel.sentinel_get_master_addr_by_name(PRIMARY_NAME)
        return (first, second) if int(address[1]) == first.port else (second, first)

    def await_promoted(self, server: RedisServer) -> None:
        """Wait until the sentinel has made a server the primary."""

        def is_promoted() -> bool:
            return self.in_order()[0] is server and _replication(server).get("role") == "master"

        eventually(is_promoted, "the replica is promoted", _SECONDS)

    def await_whole(self) -> None:
        """Wait until one server follows the other, has all of its data, and the sentinel would promote it."""

        def is_whole() -> bool:
            primary, replica = self.in_order()
            own, state = _replication(replica), self._state()
            return (
                (own.get("role"), own.get("master_port"), own.get("master_link_status"))
                == ("slave", primary.port, "up")
                and _replication(primary).get("connected_slaves") == 1
                and (state["num-slaves"], state["flags"]) == (1, "master")
                and all(each["flags"] == "slave" for each in self.sentinel.sentinel_slaves(PRIMARY_NAME))
            )

        eventually(is_whole, "a primary and its replica", _SECONDS)

    def _state(self) -> dict[str, Any]:
        state: Any = self.sentinel.sentinel_master(PRIMARY_NAME)
        return dict(state)


def _replication(server: RedisServer) -> dict[str, Any]:
    """Return what a server says of its replication; empty if it does not answer."""
    with suppress(RedisError):
        return dict(server.client.info("replication"))
    return {}


@contextmanager
def watched_pair(folder: Path, password: str = "") -> Iterator[WatchedPair]:
    """Serve the pair and its sentinel for the duration of a block; the first server is the primary."""
    port, configuration = free_port(), folder / "sentinel.conf"
    with ExitStack() as stack:
        first, second = (stack.enter_context(redis_server(folder / name, password)) for name in ("first", "second"))
        second.follow(first.client)
        lines = [
            f"port {port}", f"dir {folder}", f"requirepass {SENTINEL_PASSWORD}",
            f"sentinel monitor {PRIMARY_NAME} 127.0.0.1 {first.port} 1",
            f"sentinel down-after-milliseconds {PRIMARY_NAME} 1000",
            f"sentinel failover-timeout {PRIMARY_NAME} 5000",
        ]  # fmt: skip
        if password:
            lines.append(f'sentinel auth-pass {PRIMARY_NAME} "{password}"')
        configuration.write_text("\n".join([*lines, ""]))
        program = prepare_valkey(folder / "first", port, configuration)[0]
        stack.enter_context(serving([program, str(configuration), "--sentinel"], folder / "sentinel.log"))
        sentinel = stack.enter_context(closing(Redis(port=port, password=SENTINEL_PASSWORD, decode_responses=True)))
        eventually(lambda: _answers(sentinel), "a sentinel")
        pair = WatchedPair((first, second), sentinel, password)
        pair.await_whole()
        yield pair


def _answers(redis: Redis) -> bool:
    with suppress(RedisError):
        return bool(redis.ping())
    return False
