"""A secret file that is wrong shows in the metrics of each process that reads it, and harms no delivery."""

from collections.abc import Callable

import pytest

from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import Running
from tests.support.metrics import families
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

# Who reads it. The console looks when somebody uses its password.
READERS = {
    "SEALING_KEYS": {"ingest", "worker-kompar", "worker-solaris"},
    "CANARY_SECRET": {"ingest", "beat"},
}
SERVICES = set().union(*READERS.values())


def rejected(kvitto: Running) -> dict[str, set[str]]:
    """Return for each setting from a file the processes that reject what it holds."""
    found: dict[str, set[str]] = {}
    for service in SERVICES:
        for each in families(kvitto.metrics(service))["kvitto_secrets_rejected"].samples:
            found.setdefault(each.labels["setting"], set()).update({service} if each.value else ())
    return found


def shows(kvitto: Running, setting: str, services: set[str]) -> Callable[[], bool]:
    """Return a condition: these processes reject that setting, and no process rejects another."""
    return lambda: (
        {name: who for name, who in rejected(kvitto).items() if who} == ({setting: services} if services else {})
    )


@pytest.mark.parametrize("setting", READERS)
def test_a_wrong_secret_file_shows_until_it_is_corrected_and_fails_no_delivery(kvitto: Running, setting: str) -> None:
    file = kvitto.data / "secrets" / setting
    before = file.read_text()
    assert set(READERS) <= rejected(kvitto).keys()
    eventually(shows(kvitto, setting, set()), "no secret rejected at the start")
    try:
        file.write_text("wrong")
        eventually(shows(kvitto, setting, READERS[setting]), f"{setting} rejected by those that read it")
        answer = kvitto.post("applications", encrypt({"application_id": f"beside-{setting}"}, KEY))
        assert answer.status_code == 200
        query = "SELECT FROM reporting.deliveries WHERE receipt = %s AND outcome = 'stored'"
        eventually(lambda: len(kvitto.rows(query, answer.json()["receipt"])) == 1, "the delivery in the ledger")
    finally:
        file.write_text(before)
    eventually(shows(kvitto, setting, set()), f"{setting} accepted again")
