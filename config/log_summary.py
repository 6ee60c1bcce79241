"""Logs what repeats once, and then sums it up once a minute: a burst of one kind must not hide other lines."""

import logging
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TextIO

_WINDOW_SECONDS = 60.0
# Kinds that are counted apart, and values of a field that a summary lists.
_MOST_KINDS, _MOST_VALUES = 1_000, 100
_STANDARD = frozenset(vars(logging.makeLogRecord({})))


class Summed(NamedTuple):
    """How to sum up a log event: by the fields `by`, beyond the first `lines` of a minute.

    A summary has their number as `count`, the fields `by`, and the values of the fields `lists` that differed.
    """

    by: tuple[str, ...]
    lists: tuple[str, ...] = ()
    lines: int = 1


@dataclass
class _Window:
    """A minute of one kind: how many lines were logged, and what was not."""

    summed: Summed
    ends_at: float
    lines: int = 1
    count: int = 0
    since: datetime | None = None
    last: logging.LogRecord | None = None
    values: dict[str, dict[Any, None]] = field(default_factory=dict)

    def add(self, record: logging.LogRecord) -> None:
        """Count a record that is not logged."""
        self.since = self.since or datetime.fromtimestamp(record.created, UTC)
        self.count += 1
        self.last = record
        for name in self.summed.lists:
            values = self.values.setdefault(f"{name}s", {})
            if (value := getattr(record, name, None)) is not None and len(values) < _MOST_VALUES:
                values[value] = None

    def summary(self) -> logging.LogRecord | None:
        """Return the record that sums up the window, None if there is nothing to sum up."""
        if self.last is None:
            return None
        record = logging.makeLogRecord({name: vars(self.last)[name] for name in _STANDARD} | {"exc_info": None})
        fields = {name: getattr(self.last, name, None) for name in self.summed.by}
        vars(record).update(fields | {"count": self.count, "since": self.since})
        vars(record).update({name: list(values) for name, values in self.values.items()})
        return record


class SummingHandler(logging.StreamHandler[TextIO]):
    """A stream handler that sums up the events of `summed`."""

    def __init__(self, summed: Mapping[str, Summed], window_seconds: float = _WINDOW_SECONDS) -> None:
        super().__init__()
        self._summed = summed
        self._window_seconds = window_seconds
        self._windows: dict[tuple[Any, ...], _Window] = {}
        self._process = os.getpid()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record, or count it. The handler's lock is held."""
        summed = self._summed.get(str(record.msg))
        if summed is None or self._is_logged(record, summed):
            super().emit(record)

    def sum_up(self, everything: bool = True) -> None:
        """Log the summaries of windows that have ended, or of all windows."""
        with self.lock or threading.RLock():
            now = time.monotonic()
            for kind, window in list(self._windows.items()):
                if everything or window.ends_at <= now:
                    self._end(kind, window, now)

    def close(self) -> None:
        """Log all summaries when the process ends."""
        self.sum_up()
        super().close()

    def _is_logged(self, record: logging.LogRecord, summed: Summed) -> bool:
        if self._process != os.getpid():  # a fork has neither the thread nor anything to sum up
            self._process, self._thread, self._windows = os.getpid(), None, {}
        kind = (record.msg, *(str(getattr(record, name, None)) for name in summed.by))
        window = self._windows.get(kind)
        if window is None and len(self._windows) < _MOST_KINDS:
            self._windows[kind] = _Window(summed, time.monotonic() + self._window_seconds)
            self._start()
            return True
        if window is None:
            shared = _Window(Summed((), lines=0), time.monotonic() + self._window_seconds, lines=0)
            window = self._windows.setdefault((record.msg,), shared)
        if window.lines < window.summed.lines:
            window.lines += 1
            return True
        window.add(record)
        return False

    def _end(self, kind: tuple[Any, ...], window: _Window, now: float) -> None:
        """Log a summary. What went on is summed up in the next minute too; else the next is a first one again."""
        if summary := window.summary():
            super().emit(summary)
            self._windows[kind] = _Window(window.summed, now + self._window_seconds, lines=window.summed.lines)
        else:
            del self._windows[kind]

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="log-summary", daemon=True)
            with suppress(RuntimeError):  # no thread can start now: the next kind of line tries again
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            time.sleep(self._window_seconds / 60)
            with self.lock or threading.RLock():
                self.sum_up(everything=False)
                if not self._windows:  # the next line that may be summed up starts another
                    self._thread = None
                    return
