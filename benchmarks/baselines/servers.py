"""Serves the baselines, each for the duration of a block."""

import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from app.local.ports import free_port
from app.storage.connection import create_database
from tests.support import servers
from tests.support.process_tree import below
from tests.support.providers.kompar_fixtures import KEY, TOKEN
from tests.support.servers import eventually, serving

_HERE = Path(__file__).parent
# Of the edge, and of the empty view in its place: as many processes as the machine has cores.
EDGES = os.cpu_count() or 1
_WORKERS = 2
_VIEW_THREADS = 24


@dataclass(frozen=True, slots=True)
class Tutorial:
    """The tutorial's design, served: where its edge and its table are, and the id of its Celery worker."""

    url: str
    database: str
    worker: int


def nginx_command() -> str:
    """Return where nginx is."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    assert found, "nginx is missing: apt-get install nginx, or brew install nginx"
    return found


@contextmanager
def empty_view(folder: Path) -> Iterator[str]:
    """Serve the empty view on the edge's server, with as many processes and its memory settings; yield its URL."""
    port = free_port()
    view = "benchmarks.baselines.empty:app"
    serve = f"serve_wsgi('empty view', {view!r}, ('127.0.0.1', {port}), {_VIEW_THREADS}, {EDGES})"
    code = f"from app.cli.http_server import limit_memory, serve_wsgi; limit_memory(); {serve}"
    with serving([sys.executable, "-c", code], folder / "empty.log"):
        yield _listening(port)


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Serve nginx that answers 200 by itself; yield its URL."""
    port = free_port()
    places = {"FOLDER": str(folder), "ADDRESS": f"127.0.0.1:{port}"}
    template = (_HERE / "nginx.conf.template").read_text()
    configuration = folder / "nginx.conf"
    configuration.write_text(re.sub(r"\$\{(\w+)\}", lambda name: places[name[1]], template))
    user = "user root; " if os.geteuid() == 0 else ""
    line = [nginx_command(), "-e", "stderr", "-c", str(configuration), "-g", f"{user}daemon off;"]
    with serving(line, folder / "nginx.log"):
        yield _listening(port)


@contextmanager
def tutorial(folder: Path, server: str) -> Iterator[Tutorial]:
    """Serve the tutorial's design on a database of its own of the same Postgres, and a Valkey that fsyncs as ours."""
    database = server.replace("/postgres", "/tutorial")
    create_database(server, "tutorial")
    with psycopg.connect(database) as connection:
        connection.execute((_HERE / "tutorial" / "tables.sql").read_text())
    with servers.valkey(folder) as broker, ExitStack() as running:
        settings = {
            "TUTORIAL_TOKEN": TOKEN,
            "TUTORIAL_KEY": KEY,
            "TUTORIAL_BROKER_URL": broker,
            "TUTORIAL_DATABASE_URL": database,
        }
        port = free_port()
        package = "benchmarks.baselines.tutorial"
        bind = ["--bind", f"127.0.0.1:{port}", "--keep-alive", "75", "--threads", "4"]
        workers = ["--workers", str(2 * (os.cpu_count() or 1) + 1)]  # gunicorn's own advice
        edge = ["gunicorn", *bind, *workers, "--no-control-socket", f"{package}.application:app"]
        running.enter_context(_python(edge, settings, folder / "gunicorn.log"))
        worker = ["celery", "-A", f"{package}.tasks", "worker", "--loglevel", "WARNING", "--concurrency", str(_WORKERS)]
        process = running.enter_context(_python(worker, settings, folder / "celery.log"))
        eventually(lambda: len(below(process)) >= _WORKERS, "the tutorial's worker")
        yield Tutorial(f"{_listening(port)}/webhooks/applications", database, process)


@contextmanager
def _python(module: list[str], settings: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run a module with settings of its own; yield its process id."""
    variables = [f"{name}={value}" for name, value in settings.items()]
    with serving(["env", *variables, sys.executable, "-m", *module], log) as process:
        yield process.pid


def _listening(port: int) -> str:
    """Return the URL once connections are taken."""
    eventually(lambda: _accepts(port), f"port {port} open")
    return f"http://127.0.0.1:{port}"


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
