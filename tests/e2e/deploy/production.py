"""What docker-compose.yml has beside Kvitto's processes, on this machine: the secret files, and both servers."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.local.embedded_servers import prepare_valkey, valkey_answers
from app.storage.connection import create_database
from tests.e2e.deploy.composition import MOUNTED, SERVICES
from tests.support import servers
from tests.support.kvitto_process import ROOT, SECRETS
from tests.support.ports import free_port
from tests.support.servers import REDIS_CONF, eventually, serving

_FROM_OTHERS = ("KOMPAR_TOKENS", "KOMPAR_KEYS", "SOLARIS_SECRETS")


def make_secrets(folder: Path) -> tuple[int, str]:
    """Run the script; return its status and what it says."""
    done = subprocess.run([ROOT / "deploy" / "make-secrets", folder], check=False, capture_output=True, text=True)
    return done.returncode, done.stdout


def make_all_secrets(folder: Path) -> Path:
    """Make the secret files in a new folder below `folder`, with those that only providers can give; return it."""
    made = folder / "secrets"
    make_secrets(made)
    for name in _FROM_OTHERS:
        (made / name.lower()).write_text(SECRETS[name])
    return made


def _point(secrets: Path, pattern: str, there: str, here: str) -> None:
    """Have addresses lead to a server of this machine."""
    for path in secrets.glob(pattern):
        path.write_text(path.read_text().replace(f"@{there}", f"@{here}"))


@contextmanager
def redis(folder: Path, secrets: Path) -> Iterator[str]:
    """Serve a Valkey as the file has it served, and have the secret files name it; yield its address."""
    port = free_port()
    flags = [part.replace(MOUNTED, f"{secrets}/") for part in SERVICES["redis"]["command"][2:]]
    flags[flags.index("/data")] = str(folder / "valkey")
    _point(secrets, "redis_url", "redis:6379", f"127.0.0.1:{port}")
    url = (secrets / "redis_url").read_text()
    with serving([*prepare_valkey(folder / "valkey", port, REDIS_CONF), *flags], folder / "valkey.log"):
        eventually(lambda: valkey_answers(url), "valkey ready")
        yield url


@contextmanager
def postgres(folder: Path, secrets: Path) -> Iterator[str]:
    """Serve a Postgres as the file has it served, and have the secret files name it; yield the owner's address."""
    with servers.postgres(folder, *SERVICES["postgres"]["command"][1:]) as dsn:
        create_database(dsn, "kvitto")
        _point(secrets, "*_database_url", "postgres/", dsn.partition("@")[2].removesuffix("postgres"))
        yield (secrets / "migrate_database_url").read_text()
