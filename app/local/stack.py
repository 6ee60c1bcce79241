"""All of Kvitto on one machine: servers, ingest, workers, beat and console under one supervisor."""

import re
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from importlib import import_module
from pathlib import Path

from app.local.data_folder import DataFolder
from app.local.embedded_servers import postgres_answers, prepare_postgres, prepare_valkey, valkey_answers
from app.local.machine import LocalError
from app.local.ports import BUSY_SECONDS, free_port, hold
from app.local.supervisor import Program, Supervisor, execute
from app.process_settings import MODULES, read_beat, read_ingest, read_worker
from app.storage.connection import create_database, session
from app.storage.migration_runner import migrate
from app.tls import own_address, own_server_answer
from config.environment import ConfigurationError, Environment
from config.folders import private_folder
from config.settings import ConsoleSettings, provider_names, role_prefix

_START_SECONDS = 60.0
_METRICS_PORT = 9400
_REDIS_CONF = Path(__file__).parents[2] / "config" / "redis.conf"
_SERVERS = ("postgres", "valkey")


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its command line after `kvitto`, its role without the prefix, and what reads its settings."""

    name: str
    arguments: tuple[str, ...]
    role: str
    read: Callable[[Environment], object]

    def own_settings(self, variables: Mapping[str, str]) -> set[str]:
        """Return the names of its settings, set or not."""
        environment = Environment(variables)
        self.read(environment)
        return environment.names_read

    def own_environment(self, variables: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
        """Return the environment that it gets: without those of the `known` settings that it does not read."""
        others = set(known) - self.own_settings(variables)
        return {name: value for name, value in variables.items() if name not in others}


def processes(providers: Collection[str], workers: int = 2, ingest_processes: int = 1) -> list[Process]:
    """Return the processes that serve these providers, in the order in which they start."""
    drain = [
        Process(
            f"worker-{name}",
            ("worker", "--provider", name, "--concurrency", str(workers)),
            "worker",
            partial(read_worker, names=(name,)),
        )
        for name in providers
    ]
    return [
        Process("ingest", ("ingest", "--processes", str(ingest_processes)), "ingest", read_ingest),
        *drain,
        Process("beat", ("beat",), "", read_beat),
        Process("console", ("console",), "console", ConsoleSettings.read),
    ]


class Stack:
    """Starts everything in order. Servers that the environment names (DATABASE_URL, REDIS_URL) are used as they are.

    `run_command` runs the command of `kvitto` with these arguments, in a fork of this process.
    """

    def __init__(
        self,
        data: DataFolder,
        environment: Mapping[str, str],
        report: Callable[[str], None],
        run_command: Callable[[Sequence[str]], object],
    ) -> None:
        self._data = data
        self._environment = dict(environment)
        self._report = report
        self._run_command = run_command
        self._reserved_ports: set[int] = set()
        self._reservations = ExitStack()
        self._embedded_postgres = "DATABASE_URL" not in environment
        self._supervisor = Supervisor(report, keep_open=[data.open()])

    def start(self, workers: int, ingest_processes: int, https: bool) -> str:
        """Start everything, with so many worker processes per provider; return the addresses once all is ready."""
        for purpose in ("slots", "beat"):  # without these, worker and beat would end as soon as they start
            private_folder(purpose)
        host, console = self._reserve("INGEST_BIND", 8080), self._reserve("CONSOLE_BIND", 8081)
        if https:
            self._add_certificate(host)
        ingest = f"{'https' if 'INGEST_TLS_CERT' in self._environment else 'http'}://{host}"
        self._start_servers()
        with session(self._environment["DATABASE_URL"], "migrate") as connection:
            migrate(connection, role_prefix(Environment(self._environment)))
        providers = provider_names(Environment(self._environment))
        self._environment |= self._data.secret_files(providers, self._environment)
        self._environment.setdefault("DRAIN_SECONDS", "0")  # no balancer takes it out first
        started = processes(providers, workers, ingest_processes)
        metrics = self._reserve_metrics(started)
        checked = Environment(self._environment)
        for process in started:
            process.read(checked)
        checked.check()
        self._environment.pop("INGEST_URL_FILE", None)
        self._environment["INGEST_URL"] = ingest
        for process in started:
            _import(process.arguments[0])
            own = process.own_environment(self._environment, checked.names_read)
            self._run(process, own | {"METRICS_BIND": metrics[process.name][0]})
        self._await("ingest", lambda: _answers(f"{ingest}/readyz"))
        self._await("console", lambda: _answers(f"http://{console}/livez"))
        published = (checked.names_read | {"PUBLIC_URL"}) & self._environment.keys()
        self._data.publish({name: self._environment[name] for name in published})
        self._data.publish_metrics({name: address for name, (_, address) in metrics.items()})
        servers = f"database={self._environment['DATABASE_URL']} redis={self._environment['REDIS_URL']}"
        without_passwords = re.sub(r"(?<=://)([^:/@ ]*):[^/ ]*@", r"\1:***@", servers)
        return f"ingest={ingest} console=http://{console} {without_passwords}"

    def restart_dead(self) -> None:
        """Restart programs that have died."""
        self._supervisor.restart_dead()

    def stop(self) -> None:
        """Stop everything, servers last."""
        self._supervisor.stop()
        self._reservations.close()

    def _add_certificate(self, host: str) -> None:
        """Add a certificate of this machine's own authority to the settings, unless they name one."""
        from app.local.certificates import LOOPBACK, Authority  # noqa: PLC0415 - needs the extra `embedded`

        authority = Authority(self._data.folder)
        certificate = authority.issue("ingest", (*LOOPBACK, host.rpartition(":")[0].strip("[]")))
        added = {
            "INGEST_TLS_CERT": str(certificate.chain),
            "INGEST_TLS_KEY": str(certificate.key),
            "CA_FILE": str(authority.path),
            "PUBLIC_URL": f"https://{host}",
        }
        self._environment = added | self._environment

    def _start_servers(self) -> None:
        ready: dict[str, Callable[[], bool]] = {}
        if self._embedded_postgres:
            port = free_port(self._reserved_ports)
            self._start("postgres", partial(execute, prepare_postgres(self._data.postgres, port)), self._environment)
            server = f"postgresql://kvitto@127.0.0.1:{port}"
            self._environment["DATABASE_URL"] = f"{server}/kvitto"
            ready["postgres"] = partial(postgres_answers, f"{server}/postgres")
        if "REDIS_URL" not in self._environment:
            port = free_port(self._reserved_ports)
            url = self._environment["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
            valkey = prepare_valkey(self._data.valkey, port, _REDIS_CONF)
            self._start("valkey", partial(execute, valkey), self._environment)
            ready["valkey"] = partial(valkey_answers, url)
        _import("ingest")  # while the servers start
        for name, is_ready in ready.items():
            self._await(name, is_ready)
        if self._embedded_postgres:
            create_database(f"{server}/postgres", "kvitto")

    def _run(self, process: Process, own: dict[str, str]) -> None:
        """Run a process under this environment; on the embedded Postgres in its own role."""
        if self._embedded_postgres and "DATABASE_URL" in own:
            role = f"{role_prefix(Environment(self._environment))}_{process.role}"
            own["DATABASE_URL"] = own["DATABASE_URL"].replace("//kvitto@", f"//{role}@")
        self._start(process.name, partial(self._run_command, process.arguments), own)

    def _start(self, name: str, run: Callable[[], object], environment: Mapping[str, str]) -> None:
        log = self._data.logs / f"{name}.log"
        stop_signal = signal.SIGINT if name == "postgres" else signal.SIGTERM  # on SIGTERM it waits for its clients
        self._supervisor.start(Program(name, run, environment, log, stop_signal, stop_last=name in _SERVERS))

    def _await(self, name: str, is_ready: Callable[[], bool]) -> None:
        started = time.monotonic()
        # `runs` too: another program's server on the same port would answer as well.
        while not (self._supervisor.runs(name) and is_ready()):
            self.restart_dead()
            if time.monotonic() - started > _START_SECONDS:
                log = self._data.logs / f"{name}.log"
                raise LocalError(f"{name} is not ready after {_START_SECONDS:.0f} s; see {log}")
            time.sleep(0.05)
        self._report(f"{name} ready after {time.monotonic() - started:.1f} s")

    def _reserve_metrics(self, started: Collection[Process]) -> dict[str, tuple[str, str]]:
        """Reserve METRICS_BIND of each process, on ports that follow each other.

        Return by process what it binds, and the address by which this machine reaches it.
        """
        given, found = self._environment.pop("METRICS_BIND", ""), {}
        for offset, process in enumerate(started):
            self._environment["METRICS_BIND"] = given
            address = self._reserve("METRICS_BIND", _METRICS_PORT, offset)
            found[process.name] = self._environment.pop("METRICS_BIND"), address
        return found

    def _reserve(self, name: str, default_port: int, offset: int = 0) -> str:
        """Reserve the address that a setting names, else the default port, else a free one; return host:port.

        `offset` is added to the port. A busy address is waited for only if a setting names it.
        """
        is_chosen = bool(self._environment.get(name))
        busy_seconds = BUSY_SECONDS if is_chosen else 0
        environment = Environment(self._environment)
        host, port = environment.address(name, f"127.0.0.1:{default_port}")
        environment.check()
        port = port and port + offset
        while True:
            reserved = port or free_port(self._reserved_ports)
            try:
                self._reservations.enter_context(hold(name, (host, reserved), "up", busy_seconds))
                break
            except ConfigurationError:
                if is_chosen and port:
                    raise
                port = 0
        self._reserved_ports.add(reserved)
        self._environment[name] = f"[{host}]:{reserved}" if ":" in host else f"{host}:{reserved}"
        return own_address((host, reserved))


def _import(process: str) -> None:
    """Import a process's modules before it is forked; later forks share them."""
    for module in MODULES[process]:
        import_module(module)


def _answers(url: str) -> bool:
    with suppress(OSError, HTTPException):
        return own_server_answer(url)[0] == 200
    return False
