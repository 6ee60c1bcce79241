"""The program `kvitto`: removes foreign environment variables, then runs the command line."""

import os
import sys
from pathlib import Path

from config.variables import keep_out_foreign

_CODE = tuple(f"{Path(__file__).parents[2]}/{package}/" for package in ("app", "workers", "config"))


def main() -> None:
    """Run the command that the arguments name; an unexpected error is one line and exit status 1."""
    keep_out_foreign(os.environ, sys.path)
    try:
        from app.cli.main import kvitto  # noqa: PLC0415 - no library may be imported before

        kvitto()
    except Exception as error:
        sys.exit(f"kvitto: unexpected {type(error).__name__} at {_place(error)}; please report it")


def _place(error: Exception) -> str:
    """Return the innermost line of this project that the error passed; the error's text may quote values."""
    import traceback  # noqa: PLC0415 - only a failure needs it

    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if frame.filename.startswith(_CODE)), frames[-1])
    return f"{frame.filename}:{frame.lineno} in {frame.name}"


if __name__ == "__main__":
    main()
