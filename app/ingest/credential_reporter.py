"""Reports to Postgres which credentials this edge has seen used, and when: an unused one may be retired."""

from functools import partial

from app import metrics
from app.ingest.periodic_reporter import PeriodicReporter
from app.storage import credentials
from app.storage.pool import Pool

_REPORT_SECONDS = 30.0


class CredentialReporter(PeriodicReporter):
    """Reports what the metrics of this edge have counted."""

    def __init__(self, pool: Pool) -> None:
        super().__init__("credentials", _REPORT_SECONDS)
        self._pool = pool

    def _report(self) -> None:
        self._pool.run(partial(credentials.record, last_uses=metrics.last_uses()))
