"""Tests settings and servers before a process starts, and says what is dangerous and how to mend it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from app.preflight.environment import Configuration
from app.preflight.server_queries import ask_broker, ask_postgres, ask_redis
from config.checks.result import CheckLevel, CheckResult


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found."""

    settings: list[CheckResult]
    servers: list[CheckResult]

    @property
    def status(self) -> int:
        """The exit status: 78 for faults of settings, else 1 for faults of servers, else 0."""
        if _faulty(self.settings):
            return 78
        return 1 if _faulty(self.servers) else 0


def diagnose(variables: Mapping[str, str], processes: Collection[str]) -> Diagnosis:
    """Look at everything that these processes would use if `variables` were their environment."""
    configuration = Configuration(variables, processes)
    servers = (ask_redis, ask_broker, ask_postgres)
    return Diagnosis(
        settings=list(configuration.findings()),
        servers=[finding for ask in servers for finding in ask(configuration)],
    )


def _faulty(findings: Iterable[CheckResult]) -> bool:
    return any(finding.level is CheckLevel.FAULT for finding in findings)
