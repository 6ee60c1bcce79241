"""The program `kvitto`: keeps the machine's environment out, then runs the command line."""

import os
import sys

from config.variables import keep_out_foreign


def main() -> None:
    """Run the command that the arguments name."""
    keep_out_foreign(os.environ, sys.path)
    from app.cli.main import kvitto  # noqa: PLC0415 - no library may be imported before

    kvitto()


if __name__ == "__main__":
    main()
