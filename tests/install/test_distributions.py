"""Wheel and sdist are the same bytes wherever and whenever they are built, and say which commit they hold."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.kvitto_process import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def built(folder: Path, source: Path, *targets: str) -> dict[str, bytes]:
    """Build in a copy of `source`; return the files by name."""
    copy = folder / "copy"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "dist")
    shutil.copytree(source, copy, ignore=ignored, copy_function=shutil.copy)
    shutil.copy(ROOT / ".gitignore", copy)  # says what an sdist leaves out
    options = [word for target in targets for word in ("--target", target)]
    environment = {"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1700000000", "KVITTO_COMMIT": COMMIT}
    command = [sys.executable, "-m", "hatchling", "build", *options, "--directory", str(folder / "dist")]
    subprocess.run(command, cwd=copy, env=environment, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in (folder / "dist").iterdir()}


def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    builds = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        builds.append(built(tmp_path / name, ROOT, "wheel", "sdist"))
    assert len(builds[0]) == 2
    assert builds[0] == builds[1]


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel, but for the list of them, whose order is that of the source."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def test_wheel_of_the_sdist_holds_what_the_wheel_of_the_source_holds(tmp_path: Path) -> None:
    for name in ("source", "again"):
        (tmp_path / name).mkdir()
    files = built(tmp_path / "source", ROOT, "wheel", "sdist")
    (sdist,) = (name for name in files if name.endswith(".tar.gz"))
    (wheel,) = (name for name in files if name.endswith(".whl"))
    subprocess.run(["tar", "-xf", tmp_path / "source" / "dist" / sdist, "-C", tmp_path], check=True)
    built(tmp_path / "again", tmp_path / sdist.removesuffix(".tar.gz"), "wheel")
    found = contents(tmp_path / "source" / "dist" / wheel)
    assert contents(tmp_path / "again" / "dist" / wheel) == found
    assert found["config/commit.txt"].decode() == f"{COMMIT}\n"
