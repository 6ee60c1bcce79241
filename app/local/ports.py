"""Ports of this machine: which are free, and what stands in the way of the others."""

import socket
from collections.abc import Collection

from config.environment import Fault, Misconfigured


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


def refuse_taken(name: str, bind: tuple[str, int]) -> None:
    """Raise Misconfigured if the address that the setting `name` gives cannot be served on."""
    if why := obstacle(*bind):
        raise Misconfigured([Fault(name, f"cannot be bound ({why})", "Free the address or name another")])
