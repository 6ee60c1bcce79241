"""Runs all checks before a process starts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from app.preflight.credentials import check_credentials
from app.preflight.environment import Configuration
from app.preflight.folders import check_folders
from app.preflight.server_queries import ask_broker, ask_postgres, ask_redis
from config.checks.result import CheckResult, only_faults


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """The results: of settings, credentials and folders; and of servers."""

    settings: list[CheckResult]
    servers: list[CheckResult]

    @property
    def status(self) -> int:
        """The exit status: 78 for faults of settings, else 1 for faults of servers, else 0."""
        if only_faults(self.settings):
            return 78
        return 1 if only_faults(self.servers) else 0


def run_checks(variables: Mapping[str, str], processes: Collection[str]) -> PreflightReport:
    """Check everything that these processes would use if `variables` were their environment."""
    configuration = Configuration(variables, processes)
    settings = [*configuration.results(), *check_credentials(configuration), *check_folders(configuration)]
    servers = [*ask_redis(configuration)]
    is_shared = configuration.get("broker_url") == configuration.get("redis_url")
    if not is_shared or (servers and not only_faults(servers)):  # a fault of the shared server is reported already
        servers += ask_broker(configuration)
    return PreflightReport(settings, [*servers, *ask_postgres(configuration)])
