"""What an error answer leaves in the log."""

import logging

import pytest
from werkzeug.exceptions import NotFound

from app.ingest.problem_details import to_problem


def test_no_digit_of_an_unknown_path_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert to_problem(NotFound(), "/webhooks/kompar/19811218-9876/８１１２１８９８７６", "192.0.2.7").status == 404
    (record,) = caplog.records
    assert record.__dict__["client"] == "192.0.2.7"
    assert record.__dict__["path"] == "/webhooks/kompar/########-####/##########"
