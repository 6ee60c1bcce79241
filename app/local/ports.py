"""Ports of this machine: which are free, and who may use them."""

import errno
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from config.checks.result import fault
from config.environment import ConfigurationError

# A process that is being stopped keeps its address while it finishes what is in progress.
BUSY_SECONDS = 10.0
_RETRY_SECONDS = 0.1


def free_port(exclude: Collection[int] = ()) -> int:
    """Return a loopback port that nothing listens on, and that is not in `exclude`."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in exclude:
            return port


def obstacle(host: str, port: int, busy_seconds: float = BUSY_SECONDS) -> str | None:
    """Return why an address cannot be bound, None if it can: a server may share a taken port without an error.

    A busy address is tried again for `busy_seconds`.
    """
    return _obstacle(lambda: _try_to_bind(host, port), busy_seconds)


@contextmanager
def hold(setting: str, bind: tuple[str, int], purpose: str, busy_seconds: float = BUSY_SECONDS) -> Iterator[None]:
    """Reserve an address for one purpose among Kvitto's processes, for the duration of a block.

    Granian shares its port with any process of the same user (SO_REUSEPORT), so a bound port alone excludes nobody.
    Of several processes that reserve it at once, one wins: Linux gives a name in its abstract namespace to one
    socket, and frees it when the last process that holds the socket ends.

    Raises:
        ConfigurationError: The address, which `setting` gives, stays busy for `busy_seconds`, or cannot be bound.
    """
    with socket.socket(socket.AF_UNIX) as name:

        def reserve() -> None:
            _try_to_bind(*bind)
            if sys.platform == "linux":
                name.bind(f"\0kvitto-{purpose}-{bind[0]}:{bind[1]}")

        if reason := _obstacle(reserve, busy_seconds):
            raise ConfigurationError(
                [fault(setting, f"cannot be bound ({reason})", "Free the address or name another")]
            )
        yield


def _try_to_bind(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _obstacle(bind: Callable[[], None], busy_seconds: float) -> str | None:
    """Call `bind` until the address is no longer busy; return why it fails, None if it succeeds."""
    until = time.monotonic() + busy_seconds
    while True:
        try:
            bind()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                return error.strerror or str(error)
            time.sleep(_RETRY_SECONDS)
        else:
            return None
