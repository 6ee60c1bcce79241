"""Processes without a usable temporary folder end with a fault that says how to fix it. Needs root, for mounts."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.kvitto_process import ROOT, SECRETS, command, run
from tests.support.servers import bare_environment

READ_ONLY = "\n".join(f"mount -t tmpfs -o ro none {folder}" for folder in ("/tmp", "/var/tmp"))  # noqa: S108
READ_ONLY += "\nmount -t tmpfs none /mnt"
NOWHERE = {"DATABASE_URL": "postgresql://kvitto@127.0.0.1:1/kvitto", "REDIS_URL": "redis://127.0.0.1:1/0"}
KEYS = {"SEALING_KEYS": f"a={'A' * 43}=", "FINGERPRINT_KEY": f"{'B' * 43}=", "CONSOLE_PASSWORD": "p" * 20}
SETTINGS = NOWHERE | SECRETS | KEYS | {"CANARY_SECRET": "c" * 32}


def run_read_only(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where no temporary folder can be written."""
    line = ["unshare", "--mount", "sh", "-ec", f'{READ_ONLY}\nexec "$0" "$@"', *command(*arguments)]
    environment = bare_environment() | SETTINGS | {"TMPDIR": "/nowhere"}
    return subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("arguments", [("worker",), ("beat",), ("health", "beat"), ("up", "--data", "/mnt/data")])
def test_process_without_a_temporary_folder_ends_with_its_remedy(arguments: tuple[str, ...]) -> None:
    done = run_read_only(*arguments)
    assert done.returncode == 78, done.stderr
    fault = "TMPDIR: no temporary folder can be written. Mount a writable folder at /tmp, or name one in TMPDIR."
    assert fault in done.stderr
    assert "Traceback" not in done.stderr


def test_check_without_a_temporary_folder_reports_it_for_worker_and_beat() -> None:
    done = run_read_only("check", "worker", "beat")
    assert done.returncode == 78, done.stderr
    faults = {line.partition("fault")[0].strip() for line in done.stdout.splitlines() if "TMPDIR" in line}
    assert faults == {"worker slots", "beat's heartbeat"}


def test_check_of_processes_that_write_no_temporary_files_needs_no_folder() -> None:
    assert "TMPDIR" not in run_read_only("check", "ingest", "console").stdout


def test_folder_that_another_user_made_is_not_used(tmp_path: Path) -> None:
    taken = tmp_path / f"kvitto-beat-{os.getuid()}"
    taken.mkdir()
    os.chown(taken, 65534, 65534)
    done = run("health", "beat", environment=SETTINGS | {"TMPDIR": str(tmp_path)})
    assert done.returncode == 78
    assert f"TMPDIR: {taken} was made by another user. Remove it." in done.stderr
    taken.rmdir()
    taken.symlink_to(tmp_path)
    assert run("health", "beat", environment=SETTINGS | {"TMPDIR": str(tmp_path)}).returncode == 78


def test_full_folder_is_used_all_the_same(tmp_path: Path) -> None:
    """The files are empty, and processes of one machine must agree on the folder."""
    full = f"mount -t tmpfs -o size=64k none {tmp_path}\ncat /dev/zero > {tmp_path}/zero 2> /dev/null || true"
    line = ["unshare", "--mount", "sh", "-ec", f'{full}\n"$0" "$@" || true\nls {tmp_path}', *command("health", "beat")]
    environment = bare_environment() | SETTINGS | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "no canary was ever sent from this machine" in done.stdout, done.stderr
    assert f"kvitto-beat-{os.getuid()}" in done.stdout.split()
