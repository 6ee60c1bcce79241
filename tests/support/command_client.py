"""The program `kvitto` of a shell: has the server of `command_server` run one command, on this program's streams.

`python -IS command_client.py SOCKET ARGUMENT…` starts in 20 ms; it has the standard library only.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence


def request(
    connection: socket.socket,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    streams: Sequence[int],
) -> None:
    """Ask for a command; the server answers with a line for its process id, then one for its exit status."""
    socket.send_fds(connection, [b"\n"], streams)
    connection.sendall(f"{json.dumps([list(arguments), dict(environment), folder])}\n".encode())


def main() -> None:
    path, *arguments = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        request(connection, arguments, os.environ, os.getcwd(), (0, 1, 2))
        with connection.makefile() as answers:
            answers.readline()
            status = int(answers.readline())
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
