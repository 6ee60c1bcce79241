"""The first command on machines that users have: it works, or it stops before the installation and says what to do."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.install.interpreters import on_path, supported
from tests.install.machines import (
    AS_UNNAMED,
    OF_A_CONTAINER,
    PYTHON,
    UNNAMED,
    WITHOUT_CAPABILITIES,
    WITHOUT_NAMESPACES,
    caged,
    checkout,
    installed,
    mounted,
    opened,
    run,
)
from tests.support import process_tree
from tests.support.kvitto_process import BIND, ROOT
from tests.support.servers import bare_environment, eventually

# A path that breaks what does not quote it, and what holds it in a fixed number of bytes.
ODD = Path("en mapp å", *(letter * 90 for letter in "abc"))
KVITTO = (".venv/bin/python", "-m", "app.cli")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with all that is installed, in a folder that is closed to others."""
    assert os.geteuid() == 0, "these tests play every kind of user: run them as root"
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    return installed(closed / ODD / "kvitto")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout in which nothing is installed."""
    return checkout(tmp_path / "kvitto")


def stops(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that a command installs nothing and says one sentence, with these words in it."""
    (sentence,) = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
    assert [word for word in words if word not in sentence] == [], sentence
    assert done.returncode != 0
    assert "installing" not in done.stdout


def adds_up(done: subprocess.CompletedProcess[str]) -> None:
    """Check that a demo went well."""
    assert (done.returncode, "\nadds up\n" in done.stdout) == (0, True), done.stdout + done.stderr
    assert [words for words in ("kvitto ready", "duplicate", "wrong-key", "kompar") if words not in done.stdout] == []
    assert "\x1b[" not in done.stdout


@contextmanager
def installing(
    folder: Path, *words: str, on: tuple[str, ...] = (), settings: Mapping[str, str] = {}
) -> Iterator[subprocess.Popen[str]]:
    """Run `make` until it installs; then interrupt it, as Ctrl-C does."""
    with subprocess.Popen(
        [*on, "make", *words],
        cwd=folder,
        env=bare_environment() | dict(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as make:
        assert make.stdout is not None
        assert make.stdout.readline().startswith("installing into .venv with Python 3.")
        yield make
        os.killpg(make.pid, signal.SIGINT)


# What works.


def test_root_serves_from_a_closed_read_only_checkout_with_a_noexec_temporary_folder(
    ready: Path, tmp_path: Path
) -> None:
    mounts = (
        "mount --bind . .",
        "mount -o remount,bind,ro . .",
        'cd "$PWD"',
        f"mount -t tmpfs -o noexec none {tmp_path}",
    )
    adds_up(run(ready, *KVITTO, "demo", on=mounted(*mounts), settings={"TMPDIR": str(tmp_path)}))


def test_a_user_without_a_name_serves_beside_a_full_temporary_folder() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = installed(Path(folder) / "kvitto")
        (made / "full").mkdir()
        mounts = [
            *opened(PYTHON.parents[1]),
            f"mount -t tmpfs -o size=64k,uid={UNNAMED} none full",
            "cat /dev/zero > full/zero 2>/dev/null || true",
        ]
        settings = {"HOME": folder, "TMPDIR": str(made / "full")}
        adds_up(run(made, *KVITTO, "demo", on=(*mounted(*mounts), *AS_UNNAMED), settings=settings))


@pytest.mark.parametrize("capabilities", ["Docker's", "none"])
def test_root_serves_with_few_capabilities_and_all_ends_with_the_supervisor(
    ready: Path, tmp_path: Path, capabilities: str
) -> None:
    on = WITHOUT_CAPABILITIES if capabilities == "none" else (*caged(tmp_path / "cage"), *OF_A_CONTAINER)
    with subprocess.Popen(
        [*on, *KVITTO, "up", "--data", tmp_path / "data"],
        cwd=ready,
        env=bare_environment() | BIND,
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith("kvitto ready")
        started = process_tree.below(up.pid)
        assert process_tree.named(up.pid, "bin/postgres")
        up.kill()
    eventually(lambda: not any(process_tree.is_running(pid) for pid in started), "all to end")


def test_a_cluster_of_another_user_is_named(ready: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "postgres").mkdir(parents=True)
    os.chown(data / "postgres", UNNAMED, UNNAMED)
    done = run(ready, *KVITTO, "--data", str(data), "up")
    assert f"belongs to user {UNNAMED}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_temporary_folder_without_room_ends_a_demo_with_what_to_do(ready: Path, tmp_path: Path) -> None:
    small = mounted(f"mount -t tmpfs -o size=50m none {tmp_path}")
    done = run(ready, *KVITTO, "demo", on=small, settings={"TMPDIR": str(tmp_path)})
    stops(done, f"{tmp_path} has", "MB of room", "TMPDIR")


# What stops, before anything is installed.


@pytest.mark.parametrize("goal", ["demo", "up", "test"])
def test_root_who_may_be_nobody_else_is_stopped(bare: Path, goal: str) -> None:
    stops(run(bare, "make", goal, on=WITHOUT_NAMESPACES), "refuses to run as root", "run as another user")


def test_servers_of_ones_own_need_no_user_for_postgres(bare: Path) -> None:
    small = ("mkdir .venv", "mount -t tmpfs -o size=100m none .venv")  # it stops at what comes next
    there = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
    stops(run(bare, "make", "up", on=(*mounted(*small), *WITHOUT_NAMESPACES), settings=there), "MB of room")


def test_without_util_linux_its_package_is_named(bare: Path, tmp_path: Path) -> None:
    path = program(tmp_path / "bin" / "python3", f'exec {PYTHON} "$@"').parent
    stops(run(bare, "make", "demo", settings={"PATH": str(path)}), "setpriv", "package util-linux")


def test_a_user_without_a_name_or_a_namespace_is_stopped() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        bare = checkout(Path(folder) / "kvitto")
        on = (*mounted(*opened(PYTHON.parents[1])), *caged(Path(folder) / "cage"), *AS_UNNAMED)
        stops(run(bare, "make", "demo", on=on), f"user {UNNAMED}", "/etc/passwd", "useradd")


def test_what_cannot_be_written_is_named(bare: Path) -> None:
    read_only = mounted("mount --bind . .", "mount -o remount,bind,ro . .", 'cd "$PWD"')
    for goal, advice in (("install", "checkout of your own"), ("up", "KVITTO_DATA"), ("test", "checkout of your own")):
        stops(run(bare, "make", goal, on=read_only), f"{bare} cannot be written", advice)


@pytest.mark.parametrize(
    ("goal", "place", "advice"),
    [
        ("install", ".venv", "move the checkout"),
        ("demo", "temporary", "TMPDIR"),
        ("test", "temporary", "TMPDIR"),
        ("up", "data", "KVITTO_DATA"),
    ],
)
def test_too_little_room_is_named(bare: Path, goal: str, place: str, advice: str) -> None:
    settings = {"TMPDIR": str(bare / "temporary"), "KVITTO_DATA": "data/kvitto"}
    small = mounted(f"mkdir -p temporary {place}", f"mount -t tmpfs -o size=50m none {place}")
    stops(run(bare, "make", goal, on=small, settings=settings), f"{bare / place} has", "MB of room", advice)


@pytest.mark.parametrize(("goal", "place"), [("install", ".venv"), ("test", "temporary")])
def test_noexec_is_named_where_programs_are_to_run(bare: Path, goal: str, place: str) -> None:
    there = mounted(f"mkdir -p temporary {place}", f"mount -t tmpfs -o noexec none {place}")
    done = run(bare, "make", goal, on=there, settings={"TMPDIR": str(bare / "temporary")})
    stops(done, f"{bare / place} is mounted noexec")


# Which Python it is.


def program(path: Path, script: str) -> Path:
    """Write a program in shell, beside what `make` needs of a PATH."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    for name in ("make", "sh"):
        (path.parent / name).symlink_to(str(shutil.which(name)))
    return path


def test_a_shim_that_fails_is_passed_over_and_named_when_asked_for(bare: Path, tmp_path: Path) -> None:
    shim = program(tmp_path / "shims" / f"python{supported()[0]}", "exit 127")
    settings = {"PATH": f"{shim.parent}:{PYTHON.parent}:/usr/bin:/bin:/usr/sbin:/sbin"}
    with installing(bare, "install", settings=settings):
        pass
    shutil.rmtree(bare / ".venv")
    stops(
        run(bare, "make", f"PYTHON={shim}", "demo", settings=settings),
        f"PYTHON={shim} does not run: use make PYTHON=/",
        " demo",
    )


def test_a_python_without_ensurepip_is_named_with_its_package(bare: Path, tmp_path: Path) -> None:
    without = "import sys; sys.modules['ensurepip'] = None; exec(sys.argv[1])"
    script = f'[ "$2" = -c ] && exec {PYTHON} -c "{without}" "$3"\nexec {PYTHON} "$@"'
    path = program(tmp_path / "bin" / "python3", script).parent
    package = f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv"
    stops(run(bare, "make", "demo", settings={"PATH": str(path)}), "lacks venv or ensurepip", package)


def test_the_newest_python_comes_first() -> None:
    found = [each.version for each in on_path() if not each.fault]
    assert found
    assert list(dict.fromkeys(found)) == [version for version in supported() if version in found]


def test_versions_are_those_that_the_project_names() -> None:
    classifiers = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert supported() == classifiers[::-1]


def test_any_python_3_can_look_for_the_one_to_install_with() -> None:
    ast.parse((ROOT / "deploy" / "install" / "interpreters.py").read_text(), feature_version=(3, 6))


# When it installs, and when it does not.


def test_an_interrupted_installation_starts_over_and_standard_input_may_be_closed(bare: Path) -> None:
    for _ in range(2):
        with installing(bare, "install", on=("sh", "-c", 'exec "$0" "$@" <&-')):
            pass
        assert not (bare / ".venv" / "ready").exists()


@pytest.mark.parametrize("change", ["nothing", "place", "lock", "Python"])
def test_what_is_installed_stays_until_something_changes(bare: Path, tmp_path: Path, change: str) -> None:
    made = bare
    venv.create(made / ".venv", symlinks=True)  # as `python -m venv` does
    stamp = made / ".venv" / "ready"
    now = run(
        made, ".venv/bin/python", "-c", "from deploy.install.virtual_environment import stamp; print(stamp(), end='')"
    ).stdout
    stamp.write_text(now.replace(str(PYTHON), "/usr/bin/python3.0") if change == "Python" else now)
    if change == "nothing":
        assert (run(made, "make", "install").stdout, stamp.read_text()) == ("", now)
        return
    if change == "place":
        made = made.rename(tmp_path / "moved")
    elif change == "lock":
        with (made / "requirements.lock").open("a") as lock:
            lock.write("# another\n")
    with installing(made, *([f"PYTHON={PYTHON}"] if change == "Python" else []), "install"):
        pass
    assert not (made / ".venv" / "ready").exists()
