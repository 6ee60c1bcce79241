"""What runs before a commit: the tools of `make check`, and a look for secrets."""

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import bare_environment

ROOT = Path(__file__).parents[3]
CONFIG = (ROOT / ".pre-commit-config.yaml").read_text()


@pytest.mark.slow
def test_the_hooks_pass_on_all_files(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "pre-commit", "run", "--all-files"],
        cwd=ROOT,
        env=bare_environment() | {"PRE_COMMIT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Passed") == CONFIG.count("- id:")


def test_the_hooks_are_the_tools_of_make_check() -> None:
    hooks = re.findall(r"entry: (\.venv/bin/.*)", CONFIG)
    done = subprocess.run(["make", "--dry-run", "check"], cwd=ROOT, capture_output=True, text=True, check=True)
    checks = [line for line in done.stdout.splitlines() if line.startswith(".venv/bin/")]
    assert hooks == [line for line in checks if "pip" not in line]
    assert len(hooks) == 5


def test_the_hooks_need_nothing_from_elsewhere() -> None:
    assert re.findall(r"repo: (.*)", CONFIG) == ["local"]
    assert set(re.findall(r"language: (.*)", CONFIG)) == {"system", "pygrep"}


@pytest.mark.parametrize(
    "secret",
    [
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "SEALING_KEYS=2026-11=" + base64.b64encode(bytes(range(32))).decode(),
        "ghp_" + "a" * 36,
        "AKIA" + "A" * 16,
    ],
    ids=["private key", "sealing key", "token", "access key"],
)
def test_a_secret_is_found(secret: str, tmp_path: Path) -> None:
    (pattern,) = re.findall(r"entry: '(.*)'", CONFIG)
    file = tmp_path / "file"
    file.write_text(f"something\n{secret}\n")
    looked = [sys.executable, "-m", "pre_commit.languages.pygrep", pattern, str(file)]
    assert subprocess.run(looked, check=False, capture_output=True).returncode == 1
    file.write_text("SEALING_KEYS=\nsha256:" + "a" * 64 + "\n")
    assert subprocess.run(looked, check=False, capture_output=True).returncode == 0
