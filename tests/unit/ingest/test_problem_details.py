"""What an error answer leaves in the log."""

import logging
from uuid import UUID

import pytest
from werkzeug.exceptions import NotFound

from app.errors import StoreUnavailableError
from app.ingest.problem_details import to_problem


def test_no_digit_of_an_unknown_path_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert to_problem(NotFound(), "/webhooks/kompar/19811218-9876/８１１２１８９８７６", "192.0.2.7").status == 404
    (record,) = caplog.records
    assert record.__dict__["client"] == "192.0.2.7"
    assert record.__dict__["path"] == "/webhooks/kompar/########-####/##########"


def test_a_delivery_that_was_not_durable_is_logged_by_client_and_receipt(caplog: pytest.LogCaptureFixture) -> None:
    error = StoreUnavailableError("redis-full")
    error.receipt = UUID(int=7)
    assert to_problem(error, "/webhooks/kompar/decisions", "192.0.2.7").status == 503
    (record,) = caplog.records
    logged = record.__dict__
    assert (record.message, logged["client"], logged["receipt"]) == ("delivery_not_durable", "192.0.2.7", UUID(int=7))
