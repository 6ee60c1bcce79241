"""The logs of all processes: one JSON object a line, receipts of dead letters, clients of rejected requests."""

import json
from typing import Any

from app.sandbox.kompar import encrypt
from tests.support import process_tree
from tests.support.kvitto_process import Running
from tests.support.servers import eventually

PROCESSES = ("ingest", "worker-kompar", "worker-solaris", "beat", "console")


def lines(kvitto: Running, process: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (kvitto.data / "logs" / f"{process}.log").read_text().splitlines()]


def test_every_line_of_every_process_is_json_although_a_worker_crashes(kvitto: Running) -> None:
    kvitto.workers()
    process_tree.kill(process_tree.named(kvitto.process.pid, "celeryd: kompar@")[-1])
    ended = "exited with 'signal 9 (SIGKILL)'"
    eventually(lambda: ended in (kvitto.data / "logs" / "worker-kompar.log").read_text(), "the end of a process", 60)
    kvitto.workers()
    for process in PROCESSES:
        for line in lines(kvitto, process):
            assert {"at", "level", "logger", "event"} <= line.keys()
            assert (line["at"][10], line["at"][-1]) == ("T", "Z")


def test_a_dead_letter_is_a_warning_with_receipt_reason_and_key_ids(kvitto: Running) -> None:
    body = encrypt({"application_id": "unreadable"}, "u" * 32)
    receipt = kvitto.post("decisions", body).json()["receipt"]

    def found() -> list[dict[str, Any]]:
        logged = lines(kvitto, "worker-kompar")
        return [line for line in logged if receipt in (line.get("receipt"), *line.get("receipts", ()))]

    eventually(lambda: bool(found()), "the dead letter in the log", 90)
    (line,) = found()
    assert (line["event"], line["level"]) == ("delivery_dead_lettered", "warning")
    assert (line["provider"], line["reason"]) == ("kompar", "wrong-key")
    assert line["key_ids"]


def test_rejections_of_a_kind_are_one_line_with_the_client(kvitto: Running) -> None:
    path = "/webhooks/kompar/no-such-topic-of-logs"
    for _ in range(20):
        assert kvitto.client.post(path, content=b"{}").status_code == 404
    first, *sums = [line for line in lines(kvitto, "ingest") if line.get("path") == path]
    assert (first["event"], first["reason"], first["client"]) == ("request_rejected", "not-found", "127.0.0.1")
    assert "count" not in first
    assert all("count" in line for line in sums)
