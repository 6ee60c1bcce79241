"""Logs each problem when it begins and when it ends, whether or not anybody looks at the console."""

import logging

from app.audit.problem import Problem
from app.console.ledger_reader import LedgerReader, LedgerUnreadableError
from app.console.problem_finder import ProblemFinder
from app.periodic import PeriodicTask

_LOOK_SECONDS = 10.0
logger = logging.getLogger(__name__)


class ProblemWatch(PeriodicTask):
    """Looks every ten seconds."""

    def __init__(self, ledger: LedgerReader, finder: ProblemFinder) -> None:
        super().__init__("problems", _LOOK_SECONDS)  # after a start, workers need a moment
        self._ledger = ledger
        self._finder = finder
        self._lasting: dict[tuple[str, str, str], Problem] = {}

    def once(self) -> None:
        """Log what has begun and ended since the last look."""
        try:
            found = {each.name: each for each in self._ledger.read(self._finder.find)}
        except LedgerUnreadableError as error:  # what else lasts, or ends, is not known
            found = self._lasting | {error.problem.name: error.problem}
        for name in found.keys() - self._lasting.keys():
            logger.warning("problem_began", extra=_fields(found[name]))
        for name in self._lasting.keys() - found.keys():
            logger.warning("problem_ended", extra=_fields(self._lasting[name]))
        self._lasting = found


def _fields(problem: Problem) -> dict[str, object]:
    fields = {
        "kind": problem.kind,
        "provider": problem.provider,
        "subject": problem.subject,
        "since": problem.since,
        "problem": str(problem),
    }
    return {name: value for name, value in fields.items() if value}
