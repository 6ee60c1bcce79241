"""An attempt log returns what was written to it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.audit.attempt_log import AttemptLog, AttemptLogFormatError, AttemptLogWriteError, DeliveryAttempt, read


def attempt(number: int) -> DeliveryAttempt:
    receipt, status, becomes = (str(number), 200, ("stored", "duplicate")) if number % 2 else (None, 401, ())
    return DeliveryAttempt(
        datetime.now(UTC), "p", "t", "Å", None, f"e-{number}", 1, status, receipt, 0.25, becomes, "cut"
    )


def test_read_returns_the_attempts_of_many_threads_and_runs(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    attempts = [attempt(number) for number in range(2000)]
    for half in (attempts[:1000], attempts[1000:]):
        log = AttemptLog(path)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(log.add, half))
        log.close()
    assert sorted(read(path), key=lambda item: int(item.event[2:])) == attempts


def test_read_of_an_empty_file_yields_nothing(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    path.touch()
    assert list(read(path)) == []


def write_log(path: Path, count: int) -> str:
    """Write attempts to a log; return its text."""
    log = AttemptLog(path)
    for number in range(count):
        log.add(attempt(number))
    log.close()
    return path.read_text()


def test_read_leaves_out_a_last_line_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    whole = write_log(path, 3)
    for missing, count in ((1, 3), (2, 2), (100, 2)):  # of the first only the line's end is missing
        path.write_text(whole[:-missing])
        assert [item.event for item in read(path)] == [f"e-{number}" for number in range(count)]


def test_read_of_another_file_fails_even_if_its_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no record")
    with pytest.raises(AttemptLogFormatError, match="line 1 of"):
        list(read(path))


def test_attempt_log_does_not_append_to_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    path.write_text(write_log(path, 2)[:-10])
    with pytest.raises(AttemptLogWriteError, match=r"ends in the middle of a line.*: name another with --record"):
        AttemptLog(path)


def test_attempt_log_that_cannot_be_written_fails_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(
        AttemptLogWriteError, match=r"cannot be written \(No such file or directory\): .* name another file"
    ):
        AttemptLog(tmp_path / "no" / "attempts.jsonl")
    full, message = AttemptLog(Path("/dev/full")), r"/dev/full cannot be written \(No space left on device\)"
    with pytest.raises(AttemptLogWriteError, match=message):
        full.add(attempt(1))
    with pytest.raises(AttemptLogWriteError, match=message):
        full.close()
