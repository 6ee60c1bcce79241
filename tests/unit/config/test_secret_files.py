"""Secret files are read again when they are written; what is invalid, or names another server, is not taken."""

import base64
import logging
import os
import time
from pathlib import Path

import pytest

from config.environment import Environment
from config.secret_files import Rereading, current_login, current_url
from config.settings import redis_address

OLD, NEW = "old-secret-0123456", "new-secret-0123456"
KEYS = [base64.b64encode(letter * 32).decode() for letter in (b"a", b"b")]
PLACE = "host-1:5432,[::1]:5433/name?sslmode=require"


class Files:
    """Secret files that were all written long ago."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.variables: dict[str, str] = {}
        self._age = 1000

    def write(self, name: str, text: str, age: float | None = None) -> None:
        """Write a file as if `age` seconds ago, by default later than all before and long ago."""
        self._age -= 1
        path = self._folder / name
        path.write_text(text)
        at = time.time() - (self._age if age is None else age)
        os.utime(path, (at, at))
        self.variables[f"{name}_FILE"] = str(path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def reading(files: Files) -> Rereading[tuple[str, ...]]:
    return Rereading(lambda environment: environment.secrets("TOKENS"), files.variables)


def test_rereading_takes_a_file_that_was_written(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.write("TOKENS", OLD)
    found = reading(files)
    assert not found.refresh()
    files.write("TOKENS", f"{NEW},{OLD}")
    with caplog.at_level(logging.INFO):
        assert found.refresh()
        assert not found.refresh()
    assert found.value == (NEW, OLD)
    (taken,) = caplog.records
    assert (taken.message, vars(taken)["settings"]) == ("secrets_taken", ["TOKENS"])
    assert NEW not in str(vars(taken))


def test_rereading_takes_a_volume_that_was_replaced(tmp_path: Path) -> None:
    """As Kubernetes does: NAME is a link into ..data, a link to a folder, which is replaced by a rename."""
    for version, text in (("1", OLD), ("2", NEW)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "TOKENS").write_text(text)
        os.utime(tmp_path / version / "TOKENS", (1, 1))
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "TOKENS").symlink_to("..data/TOKENS")
    found: Rereading[tuple[str, ...]] = Rereading(
        lambda environment: environment.secrets("TOKENS"), {"TOKENS_FILE": str(tmp_path / "TOKENS")}
    )
    (tmp_path / "..new").symlink_to("2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert found.current() == (NEW,)


def test_rereading_takes_a_file_of_which_only_the_owner_or_the_mode_seems_to_have_changed(files: Files) -> None:
    """What could not be read may be right once its mode is: its content, size and time are those of before."""
    files.write("TOKENS", OLD)
    found = reading(files)
    path = Path(files.variables["TOKENS_FILE"])
    before = path.stat()
    time.sleep(0.02)  # some kernels count such times in steps
    with path.open("w") as file:
        file.write(NEW)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found.current() == (NEW,)


def test_rereading_waits_until_a_file_is_complete(files: Files) -> None:
    files.write("TOKENS", OLD)
    found = reading(files)
    files.write("TOKENS", f"{NEW},", age=0)
    assert found.current() == (OLD,)
    files.write("TOKENS", f"{NEW},{OLD}")
    assert found.current() == (NEW, OLD)


def test_rereading_of_an_invalid_file_keeps_what_it_has_and_logs_once(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.write("TOKENS", OLD)
    found = reading(files)
    files.write("TOKENS", "short")
    assert found.current() == found.current() == (OLD,)
    (rejected,) = caplog.records
    assert rejected.message == "secrets_rejected"
    assert "TOKENS: value 1 of 1 has 5 characters" in vars(rejected)["faults"][0]
    Path(files.variables["TOKENS_FILE"]).unlink()
    assert found.current() == (OLD,)
    files.write("TOKENS", NEW)
    assert found.current() == (NEW,)


def test_rereading_reports_what_is_rejected_until_the_file_is_corrected(files: Files) -> None:
    def read(environment: Environment) -> tuple[str, ...]:
        return environment.secrets("TOKENS") + environment.secrets("OTHERS")

    for name in ("TOKENS", "OTHERS", "UNREAD"):
        files.write(name, OLD)
    reported: dict[str, bool] = {}
    found = Rereading(read, files.variables, reported.__setitem__)
    assert found.files == ["OTHERS", "TOKENS"]
    assert not reported
    for text, is_rejected in (("short", True), (NEW, False), ("short", True), (NEW, False)):
        files.write("TOKENS", text)
        found.refresh()
        assert reported == {"TOKENS": is_rejected, "OTHERS": False}


def test_rereading_logs_the_ids_of_keys(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.write("SEALING_KEYS", f"a={KEYS[0]}")
    found = Rereading(lambda environment: environment.keys("SEALING_KEYS"), files.variables)
    files.write("SEALING_KEYS", f"b={KEYS[1]},a={KEYS[0]}")
    with caplog.at_level(logging.INFO):
        assert [key_id for key_id, _ in found.current()] == ["b", "a"]
    assert vars(caplog.records[0])["key_ids"] == {"SEALING_KEYS": ("b", "a")}


def test_rereading_of_another_fingerprint_key_keeps_the_first(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.write("FINGERPRINT_KEY", KEYS[0])
    found = Rereading(lambda environment: environment.key("FINGERPRINT_KEY"), files.variables)
    files.write("FINGERPRINT_KEY", KEYS[1])
    assert found.current() == b"a" * 32
    assert "never changed" in vars(caplog.records[0])["faults"][0]


def test_rereading_of_an_address_takes_its_login_only(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.write("DATABASE_URL", f"postgresql://a:{OLD}@{PLACE}")
    found = Rereading(lambda environment: environment.secret("DATABASE_URL"), files.variables)
    files.write("DATABASE_URL", f"postgresql://a:{NEW}@elsewhere/name")
    assert OLD in found.current()
    assert "names another server" in vars(caplog.records[0])["faults"][0]
    files.write("DATABASE_URL", f"postgresql://a:{NEW}@{PLACE}")
    assert NEW in found.current()


def test_current_url_changes_in_its_login_only(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"postgresql://a:{OLD}@{PLACE}"
    assert current_url("DATABASE_URL", address) == address
    files.write("DATABASE_URL", f"postgresql://a:{NEW}@{PLACE}")
    monkeypatch.setenv("DATABASE_URL_FILE", files.variables["DATABASE_URL_FILE"])
    assert current_url("DATABASE_URL", address) == f"postgresql://a:{NEW}@{PLACE}"
    for other in ("", f"postgresql://a:{NEW}@elsewhere/name"):
        files.write("DATABASE_URL", other)
        assert current_url("DATABASE_URL", address) == address


def test_current_login_has_the_passwords_that_count_now(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write("REDIS_URL", f"redis+sentinel://a:{OLD}@host/name")
    files.write("REDIS_SENTINEL_PASSWORD", OLD)
    address = redis_address(Environment(files.variables))
    for name, path in files.variables.items():
        monkeypatch.setenv(name, path)
    files.write("REDIS_URL", f"redis+sentinel://b:{NEW}@host/name")
    files.write("REDIS_SENTINEL_PASSWORD", NEW)
    found = current_login(address)
    assert (found.username, found.password, found.sentinel_password) == ("b", NEW, NEW)
    for other in ("nonsense", f"redis+sentinel://b:{NEW}@elsewhere/name"):
        files.write("REDIS_URL", other)
        assert current_login(address) is address
