"""Ports: never one twice."""

from app.local.ports import free_port


def test_a_port_that_is_promised_is_not_given_again() -> None:
    promised: set[int] = set()
    for _ in range(200):
        port = free_port(promised)
        assert port not in promised
        promised.add(port)
