"""`kvitto check` reports a package that is missing from a real environment, and the processes that need it."""

import json
import subprocess
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.e2e.deploy.installations import runtime_entries
from tests.support.kvitto_process import ROOT, run
from tests.support.servers import bare_environment


def environment_without(package: str, folder: Path) -> Path:
    """Make an environment with Kvitto and what it needs at run time, as it is installed here, but for one package.

    Return its interpreter.
    """
    assert [*runtime_entries(package)] != [*runtime_entries()]
    venv.create(folder, with_pip=False)
    (site,) = (folder / "lib").glob("python*/site-packages")
    for entry in runtime_entries(package):
        (site / entry.name).symlink_to(entry)
    for name in ("app", "config", "workers"):
        (site / name).symlink_to(ROOT / name)
    return folder / "bin" / "python"


def check(python: Path, folder: Path, *processes: str) -> tuple[int, list[dict[str, str]]]:
    """Run `kvitto check` without any setting; return its exit status and its findings."""
    line = [str(python), "-m", "app.cli", "check", "--json", *processes]
    done = subprocess.run(line, env=bare_environment(), cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("package", "needed_by"),
    [
        ("packaging", "ingest, worker, beat"),  # kombu's Redis transport imports it
        ("celery", "worker, beat"),
        ("marshmallow", "worker"),  # schemas of providers
        ("granian", "ingest, console"),
        ("flask", "ingest, console"),
        ("h11", "beat"),  # httpx imports it when beat sends the first canary
        ("redis", "ingest, worker, beat, console, check"),
        ("psycopg", "ingest, worker, console, migrate, check"),
    ],
)
def test_check_reports_a_package_that_is_missing(tmp_path: Path, package: str, needed_by: str) -> None:
    python = environment_without(package, tmp_path / "environment")
    status, findings = check(python, tmp_path)
    assert status == 1
    assert {finding["level"] for finding in findings} == {"fault"}
    missing = {finding["name"]: finding for finding in findings}[f"module {package}"]
    assert missing["message"] == f"is not installed (needed by {needed_by})"
    assert "pip install" in missing["hint"]


def test_check_of_a_process_that_needs_no_missing_package_goes_on(tmp_path: Path) -> None:
    python = environment_without("packaging", tmp_path / "environment")
    status, findings = check(python, tmp_path, "console")
    assert status == 78  # its settings were looked at, and none is there
    assert (findings[0]["name"], findings[0]["level"]) == ("modules", "ok")


def test_version_shows_the_commit_of_a_checkout() -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert run("--version", environment={}).stdout == f"kvitto {version('kvitto')} (commit {commit.strip()})\n"
