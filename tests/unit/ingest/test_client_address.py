"""Which address counts as the client's: the last one that no trusted proxy has."""

from ipaddress import ip_network

import pytest

from app.ingest.client_address import client_address

BALANCERS = (ip_network("10.0.0.0/8"), ip_network("fd00::/64"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.7:50000", "", "203.0.113.7"),
        ("203.0.113.7:50000", "198.51.100.1", "203.0.113.7"),  # who connects is no proxy: anybody may write that
        ("10.0.0.1:50000", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1:50000", "forged, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1:50000", "192.0.2.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),  # two balancers in a row
        ("[fd00::1]:50000", "2001:db8::5", "2001:db8::5"),
        ("[::ffff:10.0.0.1]:50000", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1:50000", "", "10.0.0.1"),
        ("10.0.0.1:50000", "no address", "unknown"),
        ("", "198.51.100.1", "unknown"),
    ],
)
def test_client_address_is_the_last_that_no_trusted_proxy_has(peer: str, forwarded_for: str, expected: str) -> None:
    assert client_address(peer, forwarded_for, BALANCERS) == expected
