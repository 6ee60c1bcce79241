"""A recording gives back what was put into it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from app.recording import Recording, Try, read


def made(number: int) -> Try:
    receipt, status, becomes = (str(number), 200, ("stored", "duplicate")) if number % 2 else (None, 401, ())
    return Try(datetime.now(UTC), "p", "t", "Å", None, f"e-{number}", 1, status, receipt, 0.25, becomes, "cut")


def test_tries_of_many_threads_and_runs_are_read_as_they_were_made(tmp_path: Path) -> None:
    path = tmp_path / "tries.jsonl"
    tries = [made(number) for number in range(2000)]
    for half in (tries[:1000], tries[1000:]):
        recording = Recording(path)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(recording.add, half))
        recording.close()
    assert sorted(read(path), key=lambda each: int(each.event[2:])) == tries


def test_an_empty_file_has_no_tries(tmp_path: Path) -> None:
    path = tmp_path / "tries.jsonl"
    path.touch()
    assert list(read(path)) == []
