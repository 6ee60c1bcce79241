"""The user that PostgreSQL runs as: it refuses root, and initdb refuses a user without a name.

Runs before anything is installed too: standard library only.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.local.machine import LocalError

# What PostgreSQL asks of its user, asked the same way: access(2) goes by the real user, unlike an attempt to open.
_PROBE = """
import os, pwd, sys
data, programs = sys.argv[1:]
user = os.geteuid()
pwd.getpwuid(user)
owns = os.stat(data).st_uid == user == os.getuid() != 0
may = os.access(data, os.R_OK | os.W_OK | os.X_OK) and os.access(programs, os.R_OK | os.X_OK)
if owns and may:
    print("accepted", flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class PostgresUser:
    """A user that PostgreSQL accepts: `prefix` goes before its commands, `owner` owns its cluster."""

    prefix: tuple[str, ...]
    owner: int

    def give(self, folder: Path) -> None:
        """Make this user the owner of a folder."""
        if folder.stat().st_uid != self.owner:
            os.chown(folder, self.owner, -1)

    def accepts(self, data: Path, programs: Path) -> bool:
        """Run a program as this user: PostgreSQL has to accept the user and reach the folders, we have to stop it."""
        pipe = subprocess.PIPE
        with tempfile.TemporaryDirectory(prefix="probe-", dir=data) as folder:
            command = [*self.prefix, sys.executable, "-I", "-S", "-c", _PROBE, folder, str(programs)]
            try:
                self.give(Path(folder))
                with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd="/") as probe:  # noqa: S603
                    accepted = probe.stdout is not None and probe.stdout.readline() == b"accepted\n"
                    probe.terminate()
            except OSError:
                return False
        return accepted


def postgres_user(data: Path, programs: Path) -> PostgresUser:
    """Return the user to run PostgreSQL as, with its cluster in the folder `data`; `programs` is where it is installed.

    Raises:
        LocalError: No user that this process can run programs as would do; the text says what to do.
    """
    try:
        for user in _candidates():
            if user.accepts(data, programs):
                return user
    except OSError as error:
        raise LocalError(f"{data} cannot be written ({error.strerror}): name another folder") from error
    raise LocalError(_why_none())


def _candidates() -> Iterator[PostgresUser]:
    """Yield users to try, the preferred one first."""
    user = os.geteuid()
    setpriv, unshare = shutil.which("setpriv"), shutil.which("unshare")
    if user != 0:
        yield PostgresUser((), user)
    elif setpriv and (nobody := _entry("nobody")):
        # The capability reaches folders that are closed to others, such as root's home. Without the secure bit the
        # kernel drops it in access(2), by which PostgreSQL looks for its own programs.
        as_nobody = ("--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups")
        reach = ("--securebits", "+no_setuid_fixup", "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override")
        yield PostgresUser((setpriv, *as_nobody, *reach, "--pdeathsig", "INT", "--"), nobody.pw_uid)
    if unshare:
        # In a user namespace that maps nobody, every user is `nobody` by name and the same as before by its rights:
        # no privilege is needed, and the signal that ends a program with its supervisor stays.
        yield PostgresUser((unshare, "--user", "--"), user)


def _why_none() -> str:
    """Return the sentence that says why no user would do, and what to do."""
    user = os.geteuid()
    if user == 0:
        wrong, advice = "PostgreSQL refuses to run as root", "run as another user"
    elif not _entry(user):
        wrong = f"PostgreSQL refuses user {user}, who has no entry in /etc/passwd"
        advice = f"add one (as root: useradd --uid {user} kvitto), or run as a user who has one"
    else:
        wrong, advice = "PostgreSQL cannot reach its programs and its data as this user", "move the checkout"
    if not (shutil.which("setpriv") and shutil.which("unshare")):
        return f"{wrong}, and setpriv and unshare are not on PATH: {advice}, or install the package util-linux"
    return f"{wrong}, and this machine allows no other user and no user namespace: {advice}"


def _entry(user: int | str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        return None
