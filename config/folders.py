"""Folders for the small files that processes of one user share on one machine."""

import os
import stat
import tempfile
from pathlib import Path

from config.checks.result import fault
from config.environment import ConfigurationError

_HINT = "Mount a writable folder at /tmp, or name one in TMPDIR"


def private_folder(purpose: str) -> Path:
    """Create this user's folder for a purpose, within the temporary folder, and return it.

    Raises:
        ConfigurationError: No file can be made in it, or it belongs to another user.
    """
    folder = _temporary_folder() / f"kvitto-{purpose}-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ConfigurationError([fault("TMPDIR", f"{folder} cannot be written ({error.strerror})", _HINT)]) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigurationError([fault("TMPDIR", f"{folder} was made by another user", f"Remove it. {_HINT}")])
    return folder


def _temporary_folder() -> Path:
    """Return the first of TMPDIR, TEMP, TMP, /tmp and /var/tmp that can be written.

    tempfile.gettempdir() skips a folder that is full, too: the processes of a machine would use different ones.
    """
    named = filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP")))
    for folder in (*named, "/tmp", "/var/tmp"):  # noqa: S108 - each user has a folder of its own there
        if os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder).absolute()
    raise ConfigurationError([fault("TMPDIR", "no temporary folder can be written", _HINT)])
