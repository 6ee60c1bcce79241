"""Adding a secret keeps everything else in its file."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.subscriptions.secret_file import SecretFile
from config.environment import Environment


def listed(path: Path) -> list[tuple[str, str]]:
    return list(Environment({"SECRETS_FILE": str(path)}).labelled_secrets("SECRETS"))


@pytest.mark.parametrize("before", ["", "A=1", "A=1\n", "A=1,\n"], ids=repr)
def test_add_appends_a_secret(tmp_path: Path, before: str) -> None:
    path = tmp_path / "secrets"
    path.write_text(before)
    SecretFile(path).add("B", "two")
    SecretFile(path).add("B", "three")
    assert listed(path) == [*([("A", "1")] if before else []), ("B", "two"), ("B", "three")]
    assert list(tmp_path.iterdir()) == [path]


def test_add_creates_a_missing_file_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    assert SecretFile(path).problem() is None
    SecretFile(path).add("A", "one")
    assert listed(path) == [("A", "one")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_add_keeps_mode_owner_and_link(tmp_path: Path) -> None:
    path, link = tmp_path / "secrets", tmp_path / "link"
    path.write_text("A=1")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 10001, 10002)
    known = path.stat()
    link.symlink_to(path)
    SecretFile(link).add("B", "two")
    now = path.stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (known.st_mode, known.st_uid, known.st_gid)
    assert link.is_symlink()
    assert listed(link) == [("A", "1"), ("B", "two")]


def test_add_succeeds_after_a_crash_in_a_container_where_process_numbers_repeat(tmp_path: Path) -> None:
    for left in ("new", os.getpid()):
        (tmp_path / f".secrets.{left}").write_text("A=o")
    SecretFile(tmp_path / "secrets").add("A", "one")
    assert listed(tmp_path / "secrets") == [("A", "one")]


def test_add_from_many_threads_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: SecretFile(path).add("A", f"secret-{number}"), range(40)))
    assert sorted(listed(path)) == sorted(("A", f"secret-{number}") for number in range(40))


@pytest.mark.parametrize("secret", ["a,b", "%2C", "%25", "50%,%2c"])
def test_add_keeps_commas_and_codes_of_a_secret(tmp_path: Path, secret: str) -> None:
    path = tmp_path / "secrets"
    SecretFile(path).add("A", secret)
    SecretFile(path).add("B", "two")
    assert listed(path) == [("A", secret), ("B", "two")]


@pytest.mark.parametrize("secret", [" a", "a\n", "a\u200bb", ""], ids=repr)
def test_add_rejects_a_secret_that_the_list_cannot_hold(tmp_path: Path, secret: str) -> None:
    path = tmp_path / "secrets"
    path.write_text("A=1")
    with pytest.raises(ValueError, match="a space at an end"):
        SecretFile(path).add("B", secret)
    assert path.read_text() == "A=1"


def test_problem_names_the_obstacle(tmp_path: Path) -> None:
    assert "is not writable" in str(SecretFile(tmp_path / "none" / "secrets").problem())
    assert "is no readable file" in str(SecretFile(tmp_path).problem())
