"""What processes count reaches the console, in files that neither end a process nor pile up. Needs root, for mounts."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tests.support.kvitto_process import ROOT, SECRETS, command
from tests.support.ports import free_port
from tests.support.servers import bare_environment, eventually

NOWHERE = {"DATABASE_URL": "postgresql://kvitto@127.0.0.1:1/kvitto", "REDIS_URL": "redis://127.0.0.1:1/0"}
KEYS = {"SEALING_KEYS": f"a={'A' * 43}=", "FINGERPRINT_KEY": f"{'B' * 43}="}
COUNT = """
import os, sys
from app import metrics
metrics.share()
metrics.WAKEUP_FAILURES.labels("kompar").inc()
metrics.WEBHOOK_DURATION.labels("kompar").observe(0.1)
print("counted", flush=True)
sys.stdin.read()
"""


def counting(folder: Path, *on: str) -> subprocess.Popen[str]:
    """Start a process that counts one failure, and waits until its standard input ends."""
    environment = bare_environment() | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    line, pipe = [*on, sys.executable, "-c", COUNT], subprocess.PIPE
    return subprocess.Popen(line, env=environment, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def failures(folder: Path) -> float | None:
    """Return the sum that the console would show."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return registry.get_sample_value("kvitto_wakeup_failures_total", {"provider": "kompar"})


def full(folder: Path) -> tuple[str, ...]:
    """Return what runs a command that finds the folder on a full file system."""
    lines = f"mount -t tmpfs -o size=64k none {folder}\ncat /dev/zero > {folder}/zero 2> /dev/null || true"
    return ("unshare", "--mount", "sh", "-ec", f'{lines}\nexec "$0" "$@"')


def test_process_continues_the_files_of_one_that_has_ended(tmp_path: Path) -> None:
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        with counting(tmp_path) as process:
            assert process.stdout
            assert process.stdout.readline() == "counted\n", process.communicate()[1]
            process.send_signal(how)
    assert failures(tmp_path) == 3
    assert {path.name for path in tmp_path.glob("*.db")} == {"counter_0.db", "histogram_0.db"}


def test_processes_that_run_at_once_have_files_of_their_own(tmp_path: Path) -> None:
    with counting(tmp_path) as first, counting(tmp_path) as second:
        for process in (first, second):
            assert process.stdout
            assert process.stdout.readline() == "counted\n"
        for process in (first, second):
            process.communicate("")
    assert failures(tmp_path) == 2
    assert len(list(tmp_path.glob("counter_*.db"))) == 2


@pytest.mark.parametrize("content", [b"", b"\x7f" * 300_000, b"\x00\x10\x00\x00"], ids=["empty", "garbage", "cut"])
def test_file_that_cannot_be_read_is_replaced_and_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "counter_0.db").write_bytes(content)
    with counting(tmp_path) as process:
        out, errors = process.communicate("")
    assert (process.returncode, out, failures(tmp_path)) == (0, "counted\n", 1)
    assert "metrics_file_replaced" in errors


@pytest.mark.parametrize("problem", ["full", "missing", "a file"])
def test_process_counts_for_itself_if_the_folder_cannot_be_used(tmp_path: Path, problem: str) -> None:
    folder = {"full": tmp_path, "missing": tmp_path / "no", "a file": Path(__file__)}[problem]
    with counting(folder, *(full(tmp_path) if problem == "full" else ())) as process:
        out, errors = process.communicate("")
    assert (process.returncode, out) == (0, "counted\n"), errors
    assert "metrics_not_shared" in errors
    assert list(tmp_path.glob("*.db")) == []


@contextmanager
def serving(folder: Path, log: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = bare_environment() | NOWHERE | SECRETS | KEYS | {"PROMETHEUS_MULTIPROC_DIR": str(folder)} | settings
    with (
        log.open("wb") as file,
        subprocess.Popen([*full(folder), *command(*arguments)], env=environment, cwd=ROOT, stderr=file) as process,
    ):
        yield process
        process.terminate()


@pytest.mark.parametrize("name", ["ingest", "worker"])
def test_process_starts_without_metrics_if_their_folder_is_full_and_reports_it(tmp_path: Path, name: str) -> None:
    (folder := tmp_path / "metrics").mkdir()
    log, port = tmp_path / "log", free_port()
    arguments = ("ingest",) if name == "ingest" else ("worker", "--provider", "kompar", "--concurrency", "1")
    with serving(folder, log, *arguments, INGEST_BIND=f"127.0.0.1:{port}") as process:
        eventually(lambda: '"metrics_not_shared"' in log.read_text(), "the reason")
        eventually(lambda: "No space left on device" in log.read_text(), "why")
        assert process.poll() is None
    said = log.read_text()
    assert "SIGBUS" not in said
    assert "Unexpected exit" not in said
    assert process.returncode == 0, said


def test_fallback_sweep_leaves_no_file(tmp_path: Path) -> None:
    environment = bare_environment() | NOWHERE | SECRETS | KEYS | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    worker = "00000000-0000-0000-0000-000000000000"
    line = [sys.executable, "-m", "workers.fallback_sweep", "kompar", worker]
    done = subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
