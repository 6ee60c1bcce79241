"""Ports of this machine: which are free, and what stands in the way of the others."""

import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from config.checks.result import fault
from config.environment import ConfigurationError


def free_port(but: Collection[int] = ()) -> int:
    """Return a loopback port that nothing listens on, and that is not promised to someone else already."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in but:
            return port


def obstacle(host: str, port: int) -> str | None:
    """Return why an address cannot be served on, None if it can: a server may share a taken one without a word."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


@contextmanager
def hold(setting: str, bind: tuple[str, int], purpose: str) -> Iterator[None]:
    """Keep an address for one purpose, for the duration of a block, against other processes of Kvitto.

    Granian shares its port with any process of the same user (SO_REUSEPORT), so a bound port alone keeps nobody out.
    Of several processes that ask at once, one wins: Linux gives a name in its abstract namespace to one socket, and
    takes it back when the socket's last process ends. `setting` is the setting that gives the address.

    Raises:
        ConfigurationError: The address is taken, or cannot be served on.
    """
    if why := obstacle(*bind):
        raise _taken(setting, why)
    with socket.socket(socket.AF_UNIX) as name:
        if sys.platform == "linux":
            try:
                name.bind(f"\0kvitto-{purpose}-{bind[0]}:{bind[1]}")
            except OSError as error:
                raise _taken(setting, error.strerror or str(error)) from error
        yield


def _taken(setting: str, why: str) -> ConfigurationError:
    return ConfigurationError([fault(setting, f"cannot be bound ({why})", "Free the address or name another")])
