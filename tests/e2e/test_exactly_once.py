"""Several workers, one inbox: every delivery once."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from app.sandbox import fake_kompar
from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import SECRETS, running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

EVENTS, TIMES = 1000, 5


def test_5000_deliveries_of_1000_events_are_stored_once_each(tmp_path: Path) -> None:
    made = [fake_kompar.application(Random(number)) for number in range(EVENTS)]
    bodies = [encrypt(document, KEY) for document in made for _ in range(TIMES)]
    assert len(set(bodies)) == len(bodies)  # encrypted each time
    seed = int(os.environ.get("KVITTO_SEED", "1"))
    Random(seed).shuffle(bodies)
    with running(tmp_path / "data", SECRETS, "--concurrency", "3") as kvitto, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: kvitto.post("applications", body), bodies))
        assert {answer.status_code for answer in answers} == {200}
        receipts = {answer.json()["receipt"] for answer in answers}
        assert len(receipts) == EVENTS * TIMES
        eventually(lambda: kvitto.audit()["in_flight"] == 0, "the inbox empty", 120)
        account = kvitto.audit()
        assert account["missing"] == 0
        assert (account["stored"], account["duplicate"], account["dead"]) == (EVENTS, EVENTS * (TIMES - 1), 0)
        assert {str(row["receipt"]) for row in kvitto.rows("SELECT receipt FROM reporting.deliveries")} == receipts
        amounts = {
            row["application_id"]: row["amount"] for row in kvitto.rows("SELECT * FROM reporting.kompar_applications")
        }
        assert amounts == {document["application_id"]: document["amount"] for document in made}
