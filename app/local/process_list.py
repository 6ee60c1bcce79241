"""The processes of Kvitto on one machine: their commands, roles and settings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from app.process_settings import read_beat, read_ingest, read_worker
from config.environment import Environment
from config.settings import ConsoleSettings


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its command line after `kvitto`, its role in Postgres, and the function that reads its settings."""

    name: str
    arguments: tuple[str, ...]
    role: str
    read: Callable[[Environment], object]

    def own_settings(self, variables: Mapping[str, str]) -> set[str]:
        """Return the names of its settings, set or not."""
        environment = Environment(variables)
        self.read(environment)
        return environment.names_read


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers of processes: `workers` per provider, `ingest_processes` that share the port."""

    workers: int = 2
    ingest_processes: int = 1


def processes(names: Iterable[str], scale: Scale) -> list[Process]:
    """Return the processes that serve these providers, in the order in which they start."""
    concurrency = ("--concurrency", str(scale.workers))
    return [
        Process("ingest", ("ingest", "--processes", str(scale.ingest_processes)), "kvitto_ingest", read_ingest),
        *(
            Process(
                f"worker-{name}",
                ("worker", "--provider", name, *concurrency),
                "kvitto_worker",
                partial(read_worker, names=(name,)),
            )
            for name in names
        ),
        Process("beat", ("beat",), "", read_beat),
        Process("console", ("console",), "kvitto_console", ConsoleSettings.read),
    ]


def check(processes: Iterable[Process], variables: Mapping[str, str]) -> None:
    """Raise ConfigurationError with every fault of any process, before the first of them starts."""
    environment = Environment(variables)
    for process in processes:
        process.read(environment)
    environment.check()
