"""A test that fails beside others and passes alone is reported; several that are not known for it fail CI."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kvitto_process import ROOT
from tests.support.servers import bare_environment

PASSES, FAILS = "def test_it(): pass", "def test_it(): assert False"


@pytest.mark.parametrize(
    ("test", "known", "status", "outcome"),
    [
        (PASSES, ["# a comment", "test_one.py::test_it"], 0, "FLAKY, as known"),
        (PASSES, [], 0, "FLAKY, and not in tests/known_flaky.txt"),
        (FAILS, ["test_one.py::test_it"], 1, "FAILED, alone too"),
    ],
)
def test_a_failed_test_runs_again_alone_and_is_judged_by_the_list(
    tmp_path: Path, test: str, known: list[str], status: int, outcome: str
) -> None:
    (tmp_path / "test_one.py").write_text(test)
    done = rerun(tmp_path, ["test_one.py::test_it"], known)
    assert (done.returncode, outcome in done.stdout) == (status, True), done.stdout + done.stderr


def test_several_flaky_tests_that_the_list_lacks_fail(tmp_path: Path) -> None:
    names = [f"test_{number}" for number in range(4)]
    (tmp_path / "test_many.py").write_text("".join(f"def {name}(): pass\n" for name in names))
    failed = [f"test_many.py::{name}" for name in names]
    assert [rerun(tmp_path, failed[:count], []).returncode for count in (3, 4)] == [0, 1]


def test_a_run_that_failed_without_a_failed_test_stays_failed(tmp_path: Path) -> None:
    assert rerun(tmp_path, [], []).returncode == 1


def rerun(folder: Path, failed: list[str], known: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder whose last run of pytest left these failed."""
    for path, text in (
        (".pytest_cache/v/cache/lastfailed", json.dumps(dict.fromkeys(failed, True))),
        ("tests/known_flaky.txt", "\n".join(known)),
        ("pytest.ini", "[pytest]"),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    line = [sys.executable, str(ROOT / ".ci" / "rerun_failed.py")]
    environment = bare_environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # which take most of a start
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
