"""Machines that users have: what a command of theirs may do and finds there. All of it is real, and needs root."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.kvitto_process import BIND, ROOT

# What Docker leaves to root in a container.
_DOCKER = (
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,"
    "+sys_chroot,+mknod,+audit_write,+setfcap"
)
OF_A_CONTAINER = ("setpriv", "--inh-caps", "-all", "--bounding-set", _DOCKER)
WITHOUT_CAPABILITIES = ("setpriv", "--inh-caps", "-all", "--bounding-set", "-all")
UNNAMED = 12345  # a user without an entry in /etc/passwd
AS_UNNAMED = (*WITHOUT_CAPABILITIES, "--reuid", f"{UNNAMED}", "--regid", f"{UNNAMED}", "--clear-groups")
WITHOUT_NAMESPACES = (
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"',
    *WITHOUT_CAPABILITIES,
)

PYTHON = Path(sys.executable).resolve()  # not that of .venv


def mounted(*lines: str) -> tuple[str, ...]:
    """Return what runs a command with mounts of its own, made by lines of a shell."""
    return ("unshare", "--mount", "sh", "-ec", "\n".join([*lines, 'exec "$0" "$@"']))


def caged(cage: Path) -> tuple[str, ...]:
    """Return what runs a command below a changed root, where the kernel gives no user namespace, as in a container."""
    enter = f'PATH="$PATH:/usr/sbin:/sbin"; exec chroot {shlex.quote(str(cage))} env --chdir="$PWD" "$0" "$@"'
    return mounted(f"mkdir -p {shlex.quote(str(cage))}", f"mount --rbind / {shlex.quote(str(cage))}", enter)


def opened(folder: Path) -> list[str]:
    """Return the lines that have every user reach a folder, should it be in one that is closed, as root's home is."""
    closed = next((each for each in reversed(folder.parents) if not each.stat().st_mode & 0o001), None)
    if closed is None:
        return []
    kept, closed_name, name = "/mnt", shlex.quote(str(closed)), shlex.quote(str(folder))
    return [
        f"mount --bind {name} {kept}",
        f"mount -t tmpfs -o mode=755 none {closed_name}",
        f"mkdir -p {name}",
        f"mount --bind {kept} {name}",
    ]


def checkout(folder: Path) -> Path:
    """Make a checkout without .venv."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    folder.mkdir(parents=True)
    subprocess.run(["xargs", "-0", "cp", "--parents", "--target-directory", folder], cwd=ROOT, input=files, check=True)
    return folder


def installed(folder: Path) -> Path:
    """Make a checkout with this one's .venv: its files, linked where that is possible."""
    made = checkout(folder)
    how = "--link" if os.stat(sys.prefix).st_dev == made.stat().st_dev else "--reflink=auto"
    subprocess.run(["cp", "--archive", how, sys.prefix, made / ".venv"], check=True)
    return made


def run(
    folder: Path, *command: str, on: tuple[str, ...] = (), settings: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder on such a machine, in an environment that holds next to nothing."""
    path = f"{PYTHON.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    environment = {"PATH": path, "HOME": os.environ["HOME"], **BIND, **settings}
    return subprocess.run(
        [*on, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
