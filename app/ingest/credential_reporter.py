"""Reports to Postgres which credentials this edge has seen used, and when: an unused one may be retired."""

from functools import partial

from app import metrics
from app.periodic import PeriodicTask
from app.storage import credentials
from app.storage.pool import Pool

_REPORT_SECONDS = 30.0


class CredentialReporter(PeriodicTask):
    """Reports what the metrics of this edge have counted."""

    def __init__(self, pool: Pool) -> None:
        super().__init__("credentials", _REPORT_SECONDS, also_at_end=True)
        self._pool = pool

    def once(self) -> None:
        """Report when each credential was last used."""
        self._pool.run(partial(credentials.record, last_uses=metrics.last_uses()))
