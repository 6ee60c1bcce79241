"""Ports of this machine: which are free, and who may use them."""

import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from config.checks.result import fault
from config.environment import ConfigurationError


def free_port(exclude: Collection[int] = ()) -> int:
    """Return a loopback port that nothing listens on, and that is not in `exclude`."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in exclude:
            return port


def obstacle(host: str, port: int) -> str | None:
    """Return why an address cannot be bound, None if it can: a server may share a taken port without an error."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


@contextmanager
def hold(setting: str, bind: tuple[str, int], purpose: str) -> Iterator[None]:
    """Reserve an address for one purpose among Kvitto's processes, for the duration of a block.

    Granian shares its port with any process of the same user (SO_REUSEPORT), so a bound port alone excludes nobody.
    Of several processes that reserve it at once, one wins: Linux gives a name in its abstract namespace to one
    socket, and frees it when the last process that holds the socket ends.

    Raises:
        ConfigurationError: The address, which `setting` gives, is taken or cannot be bound.
    """
    reason = obstacle(*bind)
    with socket.socket(socket.AF_UNIX) as name:
        if not reason and sys.platform == "linux":
            try:
                name.bind(f"\0kvitto-{purpose}-{bind[0]}:{bind[1]}")
            except OSError as error:
                reason = error.strerror or str(error)
        if reason:
            raise ConfigurationError(
                [fault(setting, f"cannot be bound ({reason})", "Free the address or name another")]
            )
        yield
