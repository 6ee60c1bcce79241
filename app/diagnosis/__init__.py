"""Tests settings and servers before a process starts, and says what is dangerous and how to mend it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from app.diagnosis.configuration import Configuration
from app.diagnosis.servers import ask_broker, ask_postgres, ask_redis
from config.findings import Finding, Verdict


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found."""

    settings: list[Finding]
    servers: list[Finding]

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


def _faulty(findings: Iterable[Finding]) -> bool:
    return any(finding.verdict is Verdict.FAULT for finding in findings)
