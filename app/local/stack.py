"""The whole of Kvitto on one machine: servers, edge, workers, beat, console, under one supervisor."""

import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from app.local.data_folder import DataFolder
from app.local.embedded_servers import postgres_answers, prepare_postgres, prepare_valkey, valkey_answers
from app.local.ports import free_port, hold
from app.local.process_list import Process, Scale, check, processes
from app.local.supervisor import Program, Supervisor
from app.storage.connection import create_database, session
from app.storage.migration_runner import migrate
from app.tls import unverified
from config.environment import ConfigurationError, Environment
from config.granian import EDGE_MEMORY
from config.settings import provider_names
from config.variables import PYTHON

_START_SECONDS = 60.0
_REDIS_CONF = Path(__file__).parents[2] / "config" / "redis.conf"


class NotReadyError(Exception):
    """Something did not become ready in time; the text names its log."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is to be found."""

    ingest: str
    console: str
    database: str
    redis: str

    def __str__(self) -> str:
        servers = f"database={_without_password(self.database)} redis={_without_password(self.redis)}"
        return f"ingest={self.ingest} console={self.console} {servers}"


class Stack:
    """Starts everything in order; what the environment names already (DATABASE_URL, REDIS_URL) is used as it is."""

    def __init__(
        self,
        data: DataFolder,
        environment: Mapping[str, str],
        scale: Scale,
        tell: Callable[[str], None],
        https: bool = False,
    ) -> None:
        self._data = data
        self._environment = dict(environment)
        self._scale = scale
        self._tell = tell
        self._https = https
        self._promised: set[int] = set()
        self._held = ExitStack()
        self._embedded_postgres = "DATABASE_URL" not in environment
        self._supervisor = Supervisor(tell, keep_open=[data.open()])

    def start(self) -> Addresses:
        """Start everything and return its addresses once requests are answered.

        Raises:
            ProgramConfigurationError, NotReadyError, EmbeddedServerError, ConfigurationError: With what to do about it.
        """
        edge, console = self._choose_bind("INGEST_BIND", 8080), f"http://{self._choose_bind('CONSOLE_BIND', 8081)}"
        if self._https:
            self._certify(edge)
        ingest = f"{'https' if 'INGEST_TLS_CERT' in self._environment else 'http'}://{edge}"
        self._start_servers()
        with session(self._environment["DATABASE_URL"], "migrate") as connection:
            migrate(connection)
        names = provider_names(Environment(self._environment))
        self._environment |= self._data.secret_files(names, self._environment)
        self._environment |= {"PROMETHEUS_MULTIPROC_DIR": str(self._data.metrics)}
        found = processes(names, self._scale)
        check(found, self._environment)
        self._environment.pop("INGEST_URL_FILE", None)
        self._environment["INGEST_URL"] = ingest
        settings = {process.name: process.own_settings(self._environment) for process in found}
        asked = set().union(*settings.values())
        for process in found:
            self._run(process, but=asked - settings[process.name])
        self._await("ingest", lambda: _answers(f"{ingest}/readyz"))
        self._await("console", lambda: _answers(f"{console}/livez"))
        published = asked | {"PUBLIC_URL"}
        self._data.publish({name: self._environment[name] for name in published if name in self._environment})
        return Addresses(ingest, console, self._environment["DATABASE_URL"], self._environment["REDIS_URL"])

    def tend(self) -> None:
        """Start again whatever died."""
        self._supervisor.restart_dead()

    def stop(self) -> None:
        """Stop everything, servers last."""
        self._supervisor.stop()
        self._held.close()

    def _certify(self, edge: str) -> None:
        """Have the edge serve HTTPS, with a certificate of this machine's own unless the environment names one."""
        from app.local.certificates import LOOPBACK, Authority  # noqa: PLC0415 - needs what only a trial has installed

        authority = Authority(self._data.folder)
        certificate = authority.issue("ingest", (*LOOPBACK, edge.rpartition(":")[0].strip("[]")))
        made = {
            "INGEST_TLS_CERT": str(certificate.chain),
            "INGEST_TLS_KEY": str(certificate.key),
            "CA_FILE": str(authority.path),
            "PUBLIC_URL": f"https://{edge}",
        }
        self._environment = made | self._environment

    def _start_servers(self) -> None:
        if self._embedded_postgres:
            port = free_port(self._promised)
            self._program("postgres", prepare_postgres(self._data.postgres, port), self._environment, signal.SIGINT)
            server = f"postgresql://kvitto@127.0.0.1:{port}"
            self._await("postgres", lambda: postgres_answers(f"{server}/postgres"))
            create_database(f"{server}/postgres", "kvitto")
            self._environment["DATABASE_URL"] = f"{server}/kvitto"
        if "REDIS_URL" not in self._environment:
            port = free_port(self._promised)
            self._program("valkey", prepare_valkey(self._data.valkey, port, _REDIS_CONF), self._environment)
            url = self._environment["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
            self._await("valkey", lambda: valkey_answers(url))

    def _run(self, process: Process, but: set[str]) -> None:
        """Run a process, without the settings that are others'; on the embedded Postgres in its own role."""
        own = {name: value for name, value in self._environment.items() if name not in but}
        if self._embedded_postgres and "DATABASE_URL" in own:
            own["DATABASE_URL"] = own["DATABASE_URL"].replace("//kvitto@", f"//{process.role}@")
        memory = EDGE_MEMORY if process.name == "ingest" else {}
        self._program(process.name, [*PYTHON, "-m", "app.cli", *process.arguments], {**memory, **own})

    def _program(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        log = self._data.logs / f"{name}.log"
        outlives = name in ("postgres", "valkey")
        self._supervisor.start(Program(name, command, environment, log, stop_signal, outlives))

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        started = time.monotonic()
        # Another's server on the same port would answer too.
        while not (self._supervisor.runs(name) and ready()):
            self.tend()
            if time.monotonic() - started > _START_SECONDS:
                raise NotReadyError(
                    f"{name} is not ready after {_START_SECONDS:.0f} s; see {self._data.logs / name}.log"
                )
            time.sleep(0.05)
        self._tell(f"{name} ready after {time.monotonic() - started:.1f} s")

    def _choose_bind(self, name: str, preferred: int) -> str:
        """Choose an address and hold it: the one asked for, else the usual port, else any that is free."""
        asked_for = bool(self._environment.get(name))
        environment = Environment(self._environment)
        host, port = environment.address(name, f"127.0.0.1:{preferred}")
        environment.check()
        while True:
            chosen = port or free_port(self._promised)
            try:
                self._held.enter_context(hold(name, (host, chosen), "up"))
                break
            except ConfigurationError:
                if asked_for and port:
                    raise
                port = 0
        self._promised.add(chosen)
        written = f"[{host}]" if ":" in host else host
        self._environment[name] = f"{written}:{chosen}"
        reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else written  # noqa: S104 - compared, not bound
        return f"{reachable}:{chosen}"


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)([^/@]*):[^/@]*@", r"\1:***@", url)


def _answers(url: str) -> bool:
    """Return whether a server of our own answers; it is asked directly, whatever proxy the environment names."""
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified())
    )
    try:
        with direct.open(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
