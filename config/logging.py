"""Logs one JSON object a line, to standard error."""

import copy
import json
import logging
import logging.config
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from config.log_summary import Summed, SummingHandler

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
# What one fault, or one sender, can repeat without end.
_SUMMED: Mapping[str, Summed] = {
    "request_rejected": Summed(("path", "reason"), lists=("client",)),
    "delivery_not_received": Summed(("path", "reason"), lists=("client",)),
    "delivery_not_durable": Summed(("path", "reason"), lists=("receipt", "client")),
    "delivery_dead_lettered": Summed(("provider", "reason", "key_ids"), lists=("receipt",), lines=10),
    "delivery_stuck": Summed(("provider", "cause"), lists=("receipt",), lines=10),
    "circuit_opened": Summed(("store", "reason")),
    "circuit_closed": Summed(("store",)),
    "store_unavailable_skipped": Summed(("provider", "reason")),
    "wakeup_failed": Summed(("provider", "error")),
    "task_not_sent": Summed(("provider", "task", "error")),
    "login_failed": Summed(("user",), lists=("client",), lines=5),
    "login_throttled": Summed(("user",), lists=("client",)),
    "claims_not_released": Summed(("provider",)),
    "fallback_sweep_started": Summed(("provider",)),
}


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON: time, level, logger, event, and the fields of `extra`.

    Of an exception it writes types and places only: messages of database drivers and validators quote values.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        entry: dict[str, Any] = {
            "at": _iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _without_messages(record).getMessage(),
        }
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            entry["exception"] = _places(record.exc_info[1])
        return json.dumps(entry, default=_to_json, ensure_ascii=False)


def _to_json(value: Any) -> str:
    return _iso(value) if isinstance(value, datetime) else str(value)


def _iso(moment: datetime) -> str:
    """Return a time as ISO 8601 writes it, in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_messages(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record with the type of each exception among its arguments: Celery logs why it cannot connect."""
    arguments = record.args
    if isinstance(arguments, tuple) and any(isinstance(argument, BaseException) for argument in arguments):
        record = copy.copy(record)
        record.args = tuple(type(each).__qualname__ if isinstance(each, BaseException) else each for each in arguments)
    return record


def _places(error: BaseException) -> list[str]:
    """Return the types of the error and its causes, each with the lines it passed, innermost last."""
    lines = []
    current: BaseException | None = error
    while current is not None:
        lines.append(type(current).__qualname__)
        for frame, line in traceback.walk_tb(current.__traceback__):
            lines.append(f"{frame.f_code.co_filename}:{line} {frame.f_code.co_name}")
        current = current.__cause__
    return lines


def _log_unhandled(kind: type[BaseException], error: BaseException, places: TracebackType | None) -> None:
    """Log what ends this process or a thread of it; Python's own report would quote the error's message."""
    if issubclass(kind, Exception):
        logging.getLogger(__name__).critical("unhandled_exception", exc_info=(kind, error, places))
    else:
        sys.__excepthook__(kind, error, places)


def _log_unhandled_in_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        _log_unhandled(ended.exc_type, ended.exc_value, ended.exc_traceback)


def configure() -> None:
    """Send every logger of this process, and every error that nothing handles, to standard error as JSON."""
    sys.excepthook, threading.excepthook = _log_unhandled, _log_unhandled_in_thread
    logging.captureWarnings(True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"()": SummingHandler, "summed": _SUMMED, "formatter": "json"}},
            "root": {"level": "INFO", "handlers": ["stderr"]},
            "loggers": {
                # Celery logs each connection, task and schedule in sentences; a drain is not worth a line.
                "celery": {"level": "WARNING"},
                # It logs a failing task's message and traceback, which quote values; our tasks log their failures.
                "celery.app.trace": {"level": "CRITICAL"},
                # Billiard's, by which Celery forks. It passes nothing on, and Python would print its lines as they are.
                "multiprocessing": {"level": "WARNING", "handlers": ["stderr"]},
                # Warnings of libraries are for programmers.
                "py.warnings": {"level": "ERROR"},
                # Its warnings quote the driver's messages with addresses; Postgres' circuit breaker logs enough.
                "psycopg.pool": {"level": "CRITICAL"},
                # It logs every request with its address; the caller logs what is worth a line.
                "httpx": {"level": "WARNING"},
            },
        }
    )


def sum_up() -> None:
    """Log what waits to be summed up: a process is about to end."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, SummingHandler):
            handler.sum_up()
