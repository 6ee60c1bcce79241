"""The program `kvitto`: keeps the machine's environment out, then runs the command line."""

import os
import sys

from config.variables import drop_python_path, drop_unknown


def main() -> None:
    """Run the command that the arguments name."""
    drop_python_path(sys.path)
    drop_unknown(os.environ)
    from app.cli.main import kvitto  # noqa: PLC0415 - no library may be imported before

    kvitto()


if __name__ == "__main__":
    main()
