"""Finds the problems that the console shows and logs."""

from collections.abc import Callable

from app.audit import problems
from app.audit.problem import Problem
from app.console.certificate import CertificateWatch
from app.inbox.reader import InboxReader
from app.storage import reports
from app.storage.connection import Connection
from config.settings import ConsoleSettings


class ProblemFinder:
    """Looks into the ledger, the inboxes and at the certificate."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self.backlogs = InboxReader(settings.redis, settings.providers).backlogs
        self._certificate = CertificateWatch(settings.certificate_url)
        self._providers = settings.providers
        self._canary_limit = settings.canary_max_age_seconds

    def find(self, connection: Connection, ask: Callable[[], problems.Backlogs] | None = None) -> list[Problem]:
        """Return all problems; none if all is well. `ask` returns what waits in each inbox, as `backlogs` does."""
        found = problems.find(connection, ask or self.backlogs)
        late = problems.canary_problems(reports.canaries(connection), self._providers, self._canary_limit)
        explained = {each.provider for each in found if each.kind in ("behind", "not-swept")}
        return [*found, *(each for each in late if each.provider not in explained), *self._certificate.problems()]
