"""The log: one JSON object a line, and what repeats is summed up."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from config.log_summary import Summed, SummingHandler
from config.logging import JsonFormatter
from tests.support.servers import eventually

SUMMED = {
    "request_rejected": Summed(("reason",), lists=("client",)),
    "delivery_dead_lettered": Summed(("reason", "key_ids"), lists=("receipt",), lines=2),
}


class Log:
    """A logger whose lines are read back."""

    def __init__(self) -> None:
        self.handler = SummingHandler(SUMMED)
        self.handler.setFormatter(JsonFormatter())
        self.handler.setStream(io.StringIO())
        self.logger = logging.Logger("test")
        self.logger.addHandler(self.handler)

    def lines(self) -> list[dict[str, Any]]:
        text: str = self.handler.stream.getvalue()  # type: ignore[attr-defined]
        self.handler.setStream(io.StringIO())
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    found = Log()
    yield found
    found.handler.close()


def test_a_line_has_iso_times_and_texts(log: Log) -> None:
    moment = datetime(2026, 11, 29, 1, 2, 3, 4000, UTC)
    log.logger.warning("clocks_differ", extra={"since": moment, "receipt": UUID(int=1)})
    (line,) = log.lines()
    assert (line["since"], line["receipt"]) == ("2026-11-29T01:02:03.004Z", str(UUID(int=1)))
    assert datetime.fromisoformat(line["at"]).tzinfo is UTC
    assert (line["event"], line["level"], "T" in line["at"]) == ("clocks_differ", "warning", True)


def test_what_repeats_is_a_line_once_and_then_summed_up(log: Log) -> None:
    for number in range(203):
        log.logger.warning("request_rejected", extra={"reason": "wrong-token", "client": f"192.0.2.{number % 3}"})
    log.logger.warning("request_rejected", extra={"reason": "no-token", "client": "192.0.2.9"})
    log.logger.error("something_else")
    first = log.lines()
    assert [line.get("reason") for line in first] == ["wrong-token", "no-token", None]
    log.handler.sum_up(everything=False)
    assert log.lines() == []  # the minute has not ended
    log.handler.sum_up()
    (line,) = log.lines()
    assert (line["event"], line["level"], line["reason"], line["count"]) == (
        "request_rejected", "warning", "wrong-token", 202
    )  # fmt: skip
    assert sorted(line["clients"]) == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]
    assert line["since"] <= line["at"]


def test_what_goes_on_is_summed_up_and_what_ended_is_a_first_line_again(log: Log) -> None:
    def reject() -> list[dict[str, Any]]:
        log.logger.warning("request_rejected", extra={"reason": "wrong-token", "client": "192.0.2.1"})
        return log.lines()

    assert [len(reject()), len(reject())] == [1, 0]
    log.handler.sum_up()
    assert [line["count"] for line in log.lines()] == [1]
    assert reject() == []
    log.handler.sum_up()
    assert [line["count"] for line in log.lines()] == [1]
    log.handler.sum_up()  # a minute without any
    assert log.lines() == []
    assert len(reject()) == 1


def test_dead_letters_are_all_in_the_log_by_receipt(log: Log) -> None:
    receipts = [str(UUID(int=number)) for number in range(59)]
    for receipt in receipts:
        extra = {"reason": "wrong-key", "key_ids": ("2026-11",), "receipt": receipt}
        log.logger.warning("delivery_dead_lettered", extra=extra)
    log.handler.sum_up()
    *single, summary = log.lines()
    assert [line["receipt"] for line in single] == receipts[:2]
    assert (summary["receipts"], summary["key_ids"]) == (receipts[2:], ["2026-11"])
    assert sum(line.get("count", 1) for line in (*single, summary)) == len(receipts)


def test_kinds_without_end_share_one_sum(log: Log) -> None:
    for number in range(1200):
        log.logger.warning("request_rejected", extra={"reason": f"reason {number}", "client": "192.0.2.1"})
    assert len(log.lines()) == 1000
    log.handler.sum_up()
    (line,) = log.lines()
    assert line["count"] == 200


def test_a_summary_waits_for_no_other_line() -> None:
    stream = io.StringIO()
    handler = SummingHandler(SUMMED, window_seconds=0.05)
    handler.setFormatter(JsonFormatter())
    handler.setStream(stream)
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "request_rejected", "levelno": 30, "levelname": "WARNING"}))
    eventually(lambda: '"count": 2' in stream.getvalue(), "the summary")


def test_no_thread_waits_when_nothing_is_to_be_summed_up() -> None:
    handler = SummingHandler(SUMMED, window_seconds=1)
    handler.setStream(io.StringIO())
    record = logging.makeLogRecord({"msg": "request_rejected", "levelno": 30, "levelname": "WARNING"})
    for _ in range(2):
        before = set(threading.enumerate())
        handler.handle(record)
        (thread,) = [each for each in set(threading.enumerate()) - before if each.name == "log-summary"]
        thread.join(60)
        assert not thread.is_alive()
