"""PgBouncer before a test's Postgres, as Debian packages it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from app.storage.roles import role_names
from tests.support.ports import free_port
from tests.support.servers import eventually, serving


@contextmanager
def pgbouncer(folder: Path, dsn: str, **settings: str) -> Iterator[str]:
    """Serve a PgBouncer that passes on every user of a database; yield the database's address behind it."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    assert program, "pgbouncer is not installed: run tests/prepare"
    server, port = conninfo_to_dict(dsn), free_port()
    users = folder / "users.txt"
    users.write_text("".join(f'"{role}" ""\n' for role in ("kvitto", *role_names("kvitto"))))
    options = {
        "listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "trust",
        "auth_file": users, "server_reset_query": "DISCARD ALL",
    }  # fmt: skip
    lines = [f"{name} = {value}" for name, value in (options | settings).items()]
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server['port']}\n[pgbouncer]\n" + "\n".join(lines) + "\n"
    )
    folder.chmod(0o755)
    # It refuses to run as root; as `nobody` it reads its configuration and opens no file.
    command = [program, "--quiet", "--user", "nobody", str(configuration)]
    address = dsn.replace(f":{server['port']}/", f":{port}/")
    with serving(command, folder / "pgbouncer.log"):
        eventually(lambda: _answers(address), "pgbouncer ready")
        yield address


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True
