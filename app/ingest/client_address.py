"""The address of who sent a request, behind load balancers that are trusted to name it."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address

from config.networks import Network

UNKNOWN = "unknown"


def client_address(peer: str, forwarded_for: str, trusted: Collection[Network]) -> str:
    """Return the client's IP address, or `unknown`.

    It is the `peer` of the connection (`host:port`). If that is a trusted proxy, it is the last address of
    X-Forwarded-For that is no trusted proxy: anybody may have written those before it.
    """
    client = _parse(peer.rpartition(":")[0].strip("[]"))
    for hop in reversed(forwarded_for.split(",") if forwarded_for else ()):
        if client is None or not any(client in network for network in trusted):
            break
        client = _parse(hop.strip())
    return str(client) if client else UNKNOWN


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
