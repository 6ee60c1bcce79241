"""Runs the very configuration of deploy/caddy in front of given servers."""

import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import httpx
import trustme

from tests.support.kvitto_process import ROOT
from tests.support.ports import free_port
from tests.support.servers import eventually, serving

CADDYFILE = ROOT / "deploy" / "caddy" / "Caddyfile"
RUN = ["run", "--adapter", "caddyfile", "--config", str(CADDYFILE)]


@dataclass(frozen=True, slots=True)
class Balancer:
    """A running Caddy."""

    host: str
    port: int
    health: str
    context: ssl.SSLContext
    log: Path

    def client(self) -> httpx.Client:
        """Return a client that trusts its certificate."""
        return httpx.Client(base_url=f"https://{self.host}:{self.port}", verify=self.context, timeout=20)

    def connection(self, _number: int = 0) -> HTTPSConnection:
        """Return what a client of many connects with."""
        return HTTPSConnection(self.host, self.port, timeout=60, context=self.context)

    def connect(self) -> ssl.SSLSocket:
        """Return a connection for requests that no client would make."""
        plain = socket.create_connection((self.host, self.port), timeout=20)
        return self.context.wrap_socket(plain, server_hostname=self.host)


@contextmanager
def balancer(folder: Path, servers: Sequence[str]) -> Iterator[Balancer]:
    """Serve two addresses, each host:port, over TLS; `authority.pem` in the folder is what clients trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for position, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(folder / "certificate.pem", append=position > 0)
    port = free_port()
    health = free_port()
    settings = {
        "BALANCER_HOST": "127.0.0.1",
        "BALANCER_PORT": f"{port}",
        "BALANCER_HEALTH_PORT": f"{health}",
        "BALANCER_INGEST_1": servers[0],
        "BALANCER_INGEST_2": servers[1],
        "BALANCER_CERTIFICATE": str(folder / "certificate.pem"),
        "BALANCER_CERTIFICATE_KEY": str(folder / "key.pem"),
        "HOME": str(folder),  # Caddy keeps its state there
    }
    caddy = Path(sys.executable).parent / "caddy"
    command = ["env", *(f"{name}={value}" for name, value in settings.items()), str(caddy), *RUN]
    context = ssl.create_default_context()
    authority.configure_trust(context)
    log = folder / "caddy.log"
    with serving(command, log):
        found = Balancer("localhost", port, f"http://127.0.0.1:{health}", context, log)
        eventually(lambda: _answers(f"{found.health}/livez"), "caddy ready: ", log=log)
        yield found


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
