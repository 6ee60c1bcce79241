"""Runs the very configuration of deploy/caddy in front of given servers."""

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import httpx
import trustme

from tests.support.kvitto_process import ROOT
from tests.support.ports import free_port
from tests.support.servers import eventually, serving, status_of

CADDYFILE = ROOT / "deploy" / "caddy" / "Caddyfile"
RUN = ["run", "--adapter", "caddyfile", "--config", str(CADDYFILE)]
_PROGRAM = str(Path(sys.executable).parent / "caddy")


@dataclass(frozen=True, slots=True)
class Balancer:
    """A running Caddy. `health` is a URL, `metrics` is host:port."""

    host: str
    port: int
    health: str
    metrics: str
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
    ports = port, health, metrics = [free_port() for _ in range(3)]
    settings = _settings(folder, ports, servers)
    command = ["env", *(f"{name}={value}" for name, value in settings.items()), _PROGRAM, *RUN]
    context = ssl.create_default_context()
    authority.configure_trust(context)
    log = folder / "caddy.log"
    with serving(command, log):
        found = Balancer("localhost", port, f"http://127.0.0.1:{health}", f"127.0.0.1:{metrics}", context, log)
        eventually(lambda: status_of(f"{found.health}/livez") == 200, "caddy ready: ", log=log)
        yield found


def adapted(folder: Path) -> Any:
    """Return the configuration as Caddy reads it."""
    done = subprocess.run(
        [_PROGRAM, "adapt", *RUN[1:]],
        env=_settings(folder, [8443, 8081, 9400], ["a:1", "b:1"]),
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def _settings(folder: Path, ports: Sequence[int], servers: Sequence[str]) -> dict[str, str]:
    return {
        "BALANCER_HOST": "127.0.0.1",
        "BALANCER_PORT": f"{ports[0]}",
        "BALANCER_HEALTH_PORT": f"{ports[1]}",
        "BALANCER_METRICS_PORT": f"{ports[2]}",
        "BALANCER_INGEST_1": servers[0],
        "BALANCER_INGEST_2": servers[1],
        "BALANCER_CERTIFICATE": str(folder / "certificate.pem"),
        "BALANCER_CERTIFICATE_KEY": str(folder / "key.pem"),
        "HOME": str(folder),  # Caddy keeps its state there
    }
