"""The program `kvitto`: removes foreign environment variables, then runs the command line."""

import os
import sys
import warnings
from pathlib import Path

from config.variables import remove_foreign_modules, remove_foreign_variables

_CODE = tuple(f"{Path(__file__).parents[2]}/{package}/" for package in ("app", "workers", "config"))


def main() -> None:
    """Run the command that the arguments name; an unexpected error is one line and exit status 1."""
    try:
        os.getcwd()
    except OSError:
        sys.exit("kvitto: the current folder was removed, or cannot be entered: change to another one")
    try:
        removed = _remove_foreign()
        from app.cli.main import kvitto  # noqa: PLC0415 - no library may be imported before

        kvitto(obj=removed)
    except KeyboardInterrupt:  # while modules are imported; later, click handles it in the same words
        sys.exit("Aborted!")
    except Exception as error:
        sys.exit(f"kvitto: unexpected {type(error).__name__} at {_place(error)}; please report it")


def _remove_foreign() -> set[str]:
    """Remove the modules and variables of other programs, before any library is imported.

    Return the names of the variables.
    """
    remove_foreign_modules(os.environ, sys.path)
    from setproctitle import getproctitle  # noqa: PLC0415 - now it is the library, whatever the current folder holds

    getproctitle()  # it finds where the title is by the variables that the program was started with
    removed = remove_foreign_variables(os.environ, sys.path)
    if sys.warnoptions:  # under PYTHONWARNINGS=error, a library's warning would end a process
        warnings.simplefilter("default")
    return removed


def _place(error: Exception) -> str:
    """Return the innermost line of this project that the error passed; the error's text may quote values."""
    import traceback  # noqa: PLC0415 - only a failure needs it

    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if frame.filename.startswith(_CODE)), frames[-1])
    return f"{frame.filename}:{frame.lineno} in {frame.name}"


if __name__ == "__main__":
    main()
