"""Runs the very configuration of deploy/nginx in front of given servers."""

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import trustme

from tests.support.kvitto_process import ROOT
from tests.support.ports import free_port
from tests.support.servers import eventually, serving

TEMPLATE = ROOT / "deploy" / "nginx" / "nginx.conf.template"


@dataclass(frozen=True, slots=True)
class Balancer:
    """A running nginx."""

    host: str
    port: int
    health: str
    context: ssl.SSLContext
    log: Path

    def client(self) -> httpx.Client:
        """Return a client that trusts its certificate."""
        return httpx.Client(base_url=f"https://{self.host}:{self.port}", verify=self.context, timeout=20)

    def connect(self) -> ssl.SSLSocket:
        """Return a connection for requests that no client would make."""
        plain = socket.create_connection((self.host, self.port), timeout=20)
        return self.context.wrap_socket(plain, server_hostname=self.host)


def filled_in(variables: Mapping[str, str]) -> str:
    """Return the configuration as the image's envsubst makes it from these names only."""
    return re.sub(r"\$\{(BALANCER_\w+)\}", lambda found: variables[found[1]], TEMPLATE.read_text())


@contextmanager
def balancer(folder: Path, servers: Sequence[str]) -> Iterator[Balancer]:
    """Serve two addresses, each host:port, over TLS."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    assert nginx, "nginx is missing: apt-get install nginx"
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for position, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(folder / "certificate.pem", append=position > 0)
    port = free_port()
    health = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        filled_in(
            {
                "BALANCER_FOLDER": str(folder),
                "BALANCER_LISTEN": f"127.0.0.1:{port}",
                "BALANCER_HEALTH": f"127.0.0.1:{health}",
                "BALANCER_INGEST_1": servers[0],
                "BALANCER_INGEST_2": servers[1],
                "BALANCER_CERTIFICATE": str(folder / "certificate.pem"),
                "BALANCER_CERTIFICATE_KEY": str(folder / "key.pem"),
            }
        )
    )
    # In its container it runs as one user. Started by root, it would hand over to one who may not write here.
    user = "user root; " if os.geteuid() == 0 else ""
    command = [nginx, "-e", "stderr", "-c", str(configuration), "-g", f"{user}daemon off;"]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    log = folder / "nginx.log"
    with serving(command, log):
        found = Balancer("localhost", port, f"http://127.0.0.1:{health}", context, log)
        eventually(lambda: _answers(f"{found.health}/livez"), f"nginx ready: {log.read_text()}")
        yield found


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
