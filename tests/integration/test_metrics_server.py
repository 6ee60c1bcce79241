"""A process serves what it and its children count, from files that end no process and do not pile up. Needs root."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.metrics import BYTES_PER_PROCESS
from tests.support.kvitto_process import ROOT, SECRETS, command
from tests.support.metrics import families, sample, scrape
from tests.support.ports import free_port
from tests.support.process_tree import is_running
from tests.support.servers import bare_environment, eventually

NOWHERE = {"DATABASE_URL": "postgresql://kvitto@127.0.0.1:1/kvitto", "REDIS_URL": "redis://127.0.0.1:1/0"}
KEYS = {"SEALING_KEYS": f"a={'A' * 43}=", "FINGERPRINT_KEY": f"{'B' * 43}="}
WORKER = "00000000-0000-0000-0000-000000000000"
# For each line that it reads, it forks a child that counts one failure and then waits; it prints the child's id. A line
# with a word has the child say whether it rejects a secret.
SERVICE = """
import os, signal, sys
import config.logging
from app import metrics
from app.cli import metrics_server
config.logging.configure()
metrics.begin_sharing()
metrics_server.serve(("127.0.0.1", int(sys.argv[1])))
print("serves", flush=True)
for line in sys.stdin:
    if child := os.fork():
        print(child, flush=True)
        continue
    metrics.share()
    metrics.worker_series(["kompar"])
    metrics.WAKEUP_FAILURES.labels("kompar").inc()
    metrics.RECEIPT_TO_ROW.labels("kompar").observe(0.1)
    metrics.count_use("kompar", "key a")
    metrics.secret_series(["SEALING_KEYS"])
    if verdict := line.strip():
        metrics.report_secret("SEALING_KEYS", verdict == "rejected")
    signal.pause()
"""


def folder_of(tmp_path: Path) -> Path:
    """Return where processes make their folders of counters if TMPDIR is `tmp_path`."""
    return tmp_path / f"kvitto-metrics-{os.getuid()}"


def full(folder: Path) -> tuple[str, ...]:
    """Return what runs a command that finds the folder on a full file system."""
    lines = (
        f"mkdir -p {folder}",
        f"mount -t tmpfs -o size=64k none {folder}",
        f"cat /dev/zero > {folder}/zero 2> /dev/null || true",
        'exec "$0" "$@"',
    )
    return ("unshare", "--mount", "sh", "-ec", "\n".join(lines))


@dataclass(slots=True)
class Service:
    """A process that serves metrics, and forks children that count."""

    process: subprocess.Popen[str]
    port: int
    log: Path
    children: list[int]

    def count_in_a_child(self, secret: str = "") -> int:
        """Have another child count one failure, find a secret rejected or accepted, and live on; return its id."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{secret}\n")
        self.process.stdin.flush()
        self.children.append(int(self.process.stdout.readline()))
        return self.children[-1]

    def failures(self) -> float | None:
        """Return what is served."""
        return sample(scrape(f"127.0.0.1:{self.port}"), "kvitto_wakeup_failures_total", provider="kompar")

    def await_failures(self, count: float) -> None:
        eventually(lambda: self.failures() == count, f"{count} failures, not {self.failures()}")


def end(process: int, how: signal.Signals) -> None:
    """Send a signal to a process, and wait until it has ended."""
    os.kill(process, how)
    eventually(lambda: not is_running(process), "its end")


@contextmanager
def service(tmp_path: Path, *on: str, port: int = 0) -> Iterator[Service]:
    port, log = port or free_port(), tmp_path / "log"
    environment, pipe = bare_environment() | {"TMPDIR": str(tmp_path)}, subprocess.PIPE
    line = [*on, sys.executable, "-c", SERVICE, str(port)]
    with (
        log.open("ab") as errors,
        subprocess.Popen(line, env=environment, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        assert process.stdout
        assert process.stdout.readline() == "serves\n", log.read_text()
        found = Service(process, port, log, [])
        try:
            yield found
        finally:
            for child in filter(is_running, found.children):
                os.kill(child, signal.SIGKILL)
            process.kill()


def test_children_continue_the_files_of_those_that_have_ended(tmp_path: Path) -> None:
    with service(tmp_path) as found:
        for count, how in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL), start=1):
            child = found.count_in_a_child()
            found.await_failures(count)
            end(child, how)
        files = list(tmp_path.rglob("*.db"))
        assert {path.name for path in files} == {
            "counter_0.db", "histogram_0.db", "gauge_max_0.db", "gauge_mostrecent_0.db",
        }  # fmt: skip
        # None was made by the library, which would take its room once somebody writes to it.
        assert sum(path.stat().st_size for path in files) == BYTES_PER_PROCESS


def test_children_that_run_at_once_are_added_up_and_shown_apart(tmp_path: Path) -> None:
    with service(tmp_path) as found:
        first, _ = found.count_in_a_child(), found.count_in_a_child()
        found.await_failures(2)
        memory = families(scrape(f"127.0.0.1:{found.port}"))["process_resident_memory_bytes"]
        assert {each.labels["process"] for each in memory.samples} == {"main", "0", "1"}
        assert sample(scrape(f"127.0.0.1:{found.port}"), "kvitto_receipt_to_row_seconds_count", provider="kompar") == 2
        assert (sample(scrape(f"127.0.0.1:{found.port}"), "kvitto_credential_last_use_timestamp_seconds") or 0) > 1e9
        end(first, signal.SIGKILL)
        assert found.failures() == 2
        memory = families(scrape(f"127.0.0.1:{found.port}"))["process_resident_memory_bytes"]
        assert len(memory.samples) == 2


def test_secret_is_rejected_if_the_child_that_looked_last_rejects_it(tmp_path: Path) -> None:
    """One that has nothing to do does not look again."""
    with service(tmp_path) as found:
        for count, (secret, is_rejected) in enumerate(
            [("", 0), ("rejected", 1), ("accepted", 0), ("", 0), ("rejected", 1)], start=1
        ):
            found.count_in_a_child(secret)
            found.await_failures(count)
            text = scrape(f"127.0.0.1:{found.port}")
            assert sample(text, "kvitto_secrets_rejected", setting="SEALING_KEYS") == is_rejected


def test_services_of_one_machine_share_nothing_and_a_restart_begins_at_0(tmp_path: Path) -> None:
    with service(tmp_path) as first, service(tmp_path) as second:
        first.count_in_a_child()
        first.await_failures(1)
        assert second.failures() is None
    with service(tmp_path) as third:
        assert third.failures() is None
    assert {path.name for path in folder_of(tmp_path).iterdir() if path.is_dir()} == {"0", "1"}


def test_port_is_free_when_the_parent_was_killed_although_a_child_lives_on(tmp_path: Path) -> None:
    with service(tmp_path) as first:
        first.count_in_a_child()
        first.await_failures(1)
        first.process.kill()
        first.process.wait()
        with service(tmp_path, port=first.port) as second:
            assert second.failures() is None
            second.count_in_a_child()
            second.await_failures(1)


def test_address_that_is_taken_is_reported_and_does_not_end_the_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, service(tmp_path, port=taken.getsockname()[1]) as found:
        assert found.count_in_a_child()
        assert '"metrics_not_served"' in found.log.read_text()


def test_address_that_is_busy_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = NOWHERE | {"METRICS_BIND": f"127.0.0.1:{port}", "TMPDIR": str(tmp_path)}
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command("beat"), env=bare_environment() | given, stderr=log)
        eventually(lambda: sleeps(process.pid), "that beat waits for the address")
    try:
        eventually(lambda: serves(port), "its metrics")
    finally:
        process.kill()
        process.wait()


def serves(port: int) -> bool:
    with suppress(OSError):
        return "kvitto_build_info" in scrape(f"127.0.0.1:{port}")
    return False


def sleeps(process: int) -> bool:
    """Return whether the main thread is in time.sleep."""
    return "nanosleep" in Path(f"/proc/{process}/wchan").read_text()


def test_known_series_are_there_before_anything_happens(tmp_path: Path) -> None:
    with service(tmp_path) as found:
        found.count_in_a_child()
        found.await_failures(1)
        text = scrape(f"127.0.0.1:{found.port}")
        for outcome in ("stored", "duplicate", "dead"):
            assert sample(text, "kvitto_deliveries_processed_total", provider="kompar", outcome=outcome) == 0
        assert sample(text, "kvitto_claim_to_store_seconds_count", provider="kompar") == 0
        assert sample(text, "kvitto_build_info") == 1


def test_openmetrics_is_served_to_who_asks_for_it(tmp_path: Path) -> None:
    with service(tmp_path) as found:
        found.count_in_a_child()
        found.await_failures(1)
        text = scrape(f"127.0.0.1:{found.port}", "application/openmetrics-text; version=1.0.0")
        assert text.endswith("# EOF\n")
        assert "kvitto_wakeup_failures_total" in text


@pytest.mark.parametrize("content", [b"", b"\x7f" * 300_000, b"\x00\x10\x00\x00"], ids=["empty", "garbage", "cut"])
def test_file_that_cannot_be_read_is_replaced_and_reported(tmp_path: Path, content: bytes) -> None:
    with service(tmp_path) as found:
        (folder_of(tmp_path) / "0" / "counter_0.db").write_bytes(content)
        found.count_in_a_child()
        eventually(lambda: "metrics_file_replaced" in found.log.read_text(), "the report")
        found.await_failures(1)


def test_children_count_for_themselves_if_there_is_no_room(tmp_path: Path) -> None:
    with service(tmp_path, *full(folder_of(tmp_path))) as found:
        found.count_in_a_child()
        eventually(lambda: "metrics_not_shared" in found.log.read_text(), "the report")
        assert is_running(found.children[0])
        assert found.failures() is None
        assert sample(scrape(f"127.0.0.1:{found.port}"), "kvitto_build_info") == 1


def test_process_counts_for_itself_if_its_folder_cannot_be_made(tmp_path: Path) -> None:
    folder_of(tmp_path).write_text("a file")
    with service(tmp_path) as found:
        assert "metrics_not_shared" in found.log.read_text()
        assert is_running(found.count_in_a_child())
        assert sample(scrape(f"127.0.0.1:{found.port}"), "kvitto_build_info") == 1


@contextmanager
def serving(tmp_path: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = bare_environment() | NOWHERE | SECRETS | KEYS | {"TMPDIR": str(tmp_path)} | settings
    line = [*full(folder_of(tmp_path)), *command(*arguments)]
    with (
        (tmp_path / "log").open("wb") as file,
        subprocess.Popen(line, env=environment, cwd=ROOT, stderr=file) as process,
    ):
        yield process
        process.terminate()


@pytest.mark.parametrize("name", ["ingest", "worker"])
def test_process_starts_without_room_for_metrics_and_reports_it(tmp_path: Path, name: str) -> None:
    port, log = free_port(), tmp_path / "log"
    arguments = ("ingest",) if name == "ingest" else ("worker", "--provider", "kompar", "--concurrency", "1")
    binds = {"INGEST_BIND": f"127.0.0.1:{free_port()}", "METRICS_BIND": f"127.0.0.1:{port}"}
    with serving(tmp_path, *arguments, **binds) as process:
        eventually(lambda: '"metrics_not_shared"' in log.read_text(), "the reason")
        eventually(lambda: "No space left on device" in log.read_text(), "why")
        assert sample(scrape(f"127.0.0.1:{port}"), "kvitto_build_info") == 1
        assert process.poll() is None
    text = log.read_text()
    assert "SIGBUS" not in text
    assert "Unexpected exit" not in text
    assert process.returncode == 0, text


def test_fallback_sweep_counts_where_its_worker_does(tmp_path: Path) -> None:
    environment = bare_environment() | NOWHERE | SECRETS | KEYS | {"TMPDIR": str(tmp_path)}
    environment["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path)
    line = [sys.executable, "-m", "workers.fallback_sweep", "kompar", WORKER]
    done = subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "counter_0.db").exists()
