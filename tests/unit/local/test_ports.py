"""Free ports are never chosen twice."""

from app.local.ports import free_port


def test_free_port_excludes_reserved_ports() -> None:
    reserved: set[int] = set()
    for _ in range(200):
        port = free_port(reserved)
        assert port not in reserved
        reserved.add(port)
