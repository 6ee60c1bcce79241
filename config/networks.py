"""Reads networks of IP addresses: those of the load balancers in front of ingest."""

from ipaddress import IPv4Network, IPv6Network, ip_network

from config.environment import Environment

Network = IPv4Network | IPv6Network


def trusted_proxies(environment: Environment) -> tuple[Network, ...]:
    """Return the networks of the load balancers in front of ingest."""
    networks: list[Network] = []
    for item in filter(None, map(str.strip, environment.text("TRUSTED_PROXIES", "").split(","))):
        try:
            networks.append(ip_network(item))
        except ValueError:
            hint = "Separate addresses and networks by commas, for example 10.1.2.0/24,fd00::/64"
            environment.fault("TRUSTED_PROXIES", f"{item!r} is no address and no network", hint)
    return tuple(networks)
