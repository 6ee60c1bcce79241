"""A recording gives back what was put into it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.audit.attempt_log import AttemptLog, AttemptLogFormatError, AttemptLogWriteError, DeliveryAttempt, read


def made(number: int) -> DeliveryAttempt:
    receipt, status, becomes = (str(number), 200, ("stored", "duplicate")) if number % 2 else (None, 401, ())
    return DeliveryAttempt(
        datetime.now(UTC), "p", "t", "Å", None, f"e-{number}", 1, status, receipt, 0.25, becomes, "cut"
    )


def test_tries_of_many_threads_and_runs_are_read_as_they_were_made(tmp_path: Path) -> None:
    path = tmp_path / "tries.jsonl"
    tries = [made(number) for number in range(2000)]
    for half in (tries[:1000], tries[1000:]):
        recording = AttemptLog(path)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(recording.add, half))
        recording.close()
    assert sorted(read(path), key=lambda each: int(each.event[2:])) == tries


def test_an_empty_file_has_no_tries(tmp_path: Path) -> None:
    path = tmp_path / "tries.jsonl"
    path.touch()
    assert list(read(path)) == []


def recorded(path: Path, count: int) -> str:
    """Record so many tries; return what the file then holds."""
    recording = AttemptLog(path)
    for number in range(count):
        recording.add(made(number))
    recording.close()
    return path.read_text()


def test_a_last_line_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "tries.jsonl"
    whole = recorded(path, 3)
    for missing, count in ((1, 3), (2, 2), (100, 2)):  # of the first only the line's end is missing
        path.write_text(whole[:-missing])
        assert [each.event for each in read(path)] == [f"e-{number}" for number in range(count)]


def test_what_begins_with_no_try_is_no_record_even_if_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no record")
    with pytest.raises(AttemptLogFormatError, match="line 1 of"):
        list(read(path))


def test_nothing_is_appended_to_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "tries.jsonl"
    path.write_text(recorded(path, 2)[:-10])
    with pytest.raises(AttemptLogWriteError, match=r"ends in the middle of a line.*: name another with --record"):
        AttemptLog(path)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        AttemptLogWriteError, match=r"cannot be written \(No such file or directory\): .* name another file"
    ):
        AttemptLog(tmp_path / "no" / "tries.jsonl")
    full, told = AttemptLog(Path("/dev/full")), r"/dev/full cannot be written \(No space left on device\)"
    with pytest.raises(AttemptLogWriteError, match=told):
        full.add(made(1))
    with pytest.raises(AttemptLogWriteError, match=told):
        full.close()
