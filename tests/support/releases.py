"""Other releases of Kvitto beside this one: a commit of this repository, and this code with one more migration."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.kvitto_process import PROGRAM, ROOT, with_secrets

PACKAGES = ("app", "config", "workers")
# What the next release might do: a column that the previous one does not know, with an index on a new table.
EXPANSION = """
SET LOCAL search_path = kvitto;
ALTER TABLE receipts ADD COLUMN colour text;
CREATE TABLE colours (name text PRIMARY KEY);
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A folder with the code of a release, which runs in this environment."""

    folder: Path

    def run(self, *arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*PROGRAM, *arguments],
            env=with_secrets(environment),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *arguments: str, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process that goes on."""
        with log.open("ab") as file:
            return subprocess.Popen(
                [*PROGRAM, *arguments], env=with_secrets(environment), cwd=self.folder, stdout=file, stderr=file
            )


def previous(folder: Path) -> Release:
    """Return the release before this one: the last tag, or without one the last commit; KVITTO_PREVIOUS names another.

    Without a change since the commit, it is the one before.
    """
    commit = os.environ.get("KVITTO_PREVIOUS") or _last_tag() or _last_commit_of_other_code()
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit, *PACKAGES], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
    return Release(folder)


def following(folder: Path) -> Release:
    """Return this code with one more migration."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "app" / "storage" / "migrations" / "9999_expansion.sql").write_text(EXPANSION)
    return Release(folder)


def _last_tag() -> str:
    return _git("tag", "--list", "v*", "--merged", "HEAD~1", "--sort", "-version:refname").partition("\n")[0]


def _last_commit_of_other_code() -> str:
    """Return the newest commit whose code differs from what is here."""
    for commit in _git("rev-list", "--first-parent", "--max-count", "50", "HEAD").split():
        if _git("diff", "--name-only", commit, "--", *PACKAGES):
            return commit
    raise AssertionError("the history lacks an earlier commit: fetch it whole (git fetch --unshallow)")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
