"""Variables of other programs and files in the current folder change nothing."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.cli.main import COMMANDS
from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import SECRETS, Running, command, running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import bare_environment, eventually

pytestmark = pytest.mark.early
NOWHERE = "127.0.0.1:9"
# Each is read by Python, libpq, Celery, kombu, Granian, Flask, httpx, urllib or redis-py.
FOREIGN = {
    "ALL_PROXY": f"http://{NOWHERE}", "HTTPS_PROXY": f"http://{NOWHERE}", "HTTP_PROXY": f"http://{NOWHERE}",
    "http_proxy": f"http://{NOWHERE}", "https_proxy": f"http://{NOWHERE}",
    "PGHOST": "127.0.0.1", "PGPORT": "9", "PGUSER": "nobody", "PGDATABASE": "none", "PGPASSWORD": "wrong",
    "PGOPTIONS": "-c search_path=elsewhere -c default_transaction_read_only=on", "PGSSLMODE": "verify-full",
    "PGSERVICE": "none", "PGTZ": "Asia/Tokyo", "PGCLIENTENCODING": "LATIN1", "PGDATA": "/nowhere",
    "BROKER_URL": f"redis://{NOWHERE}/0", "CELERY_BROKER_READ_URL": f"redis://{NOWHERE}/0",
    "CELERY_BROKER_WRITE_URL": f"redis://{NOWHERE}/0", "CELERY_CONFIG_MODULE": "app", "CONFIG_MODULE": "app",
    "LOADER": "nowhere", "CELERY_LOADER": "nowhere", "CELERY_CUSTOM_WORKER_POOL": "nowhere:Pool", "APP": "nowhere",
    "CELERY_TASK_ALWAYS_EAGER": "1", "DJANGO_SETTINGS_MODULE": "nowhere.settings", "RESULT_BACKEND": "rpc://",
    "FORKED_BY_MULTIPROCESSING": "1", "MP_MAIN_FILE": "nowhere.py", "AUTOSCALE_KEEPALIVE": "no number",
    "GRANIAN_HOST": "nowhere", "GRANIAN_INTERFACE": "asgi", "GRANIAN_FACTORY": "true", "GRANIAN_RELOAD": "true",
    "GRANIAN_WORKERS_LIFETIME": "1", "FLASK_DEBUG": "1", "FLASK_APP": "nowhere", "SSLKEYLOGFILE": "/nowhere/keys",
    "PYTHONSTARTUP": "nowhere.py", "PYTHONBREAKPOINT": "nowhere", "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2",
}  # fmt: skip
MODULES = ("redis", "celery", "flask", "psycopg", "kombu", "click", "marshmallow", "granian", "httpx", "json", "ssl")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder of somebody else's, full of modules named like ours; each leaves a file when it is run."""
    folder = tmp_path / "their folder"
    for package in ("app", "config", "workers", "celery"):
        (folder / package).mkdir(parents=True)
    files = [folder / "__init__.py", folder / "sitecustomize.py"]
    files += [folder / package / "__init__.py" for package in ("app", "config", "workers", "celery")]
    files += [folder / f"{name}.py" for name in MODULES if name != "celery"]
    for path in files:
        path.write_text(f"open({str(tmp_path / 'it-was-run')!r}, 'a').write(__file__); raise SystemExit(99)\n")
    return folder


def test_everything_works_in_any_folder_and_beside_any_variable(tmp_path: Path, trap: Path) -> None:
    data = tmp_path / "data"
    with running(data, SECRETS | FOREIGN, project=trap, program=kvitto_program()) as kvitto:
        answer = kvitto.post("decisions", encrypt({"application_id": "anywhere"}, KEY))
        assert kvitto.outcome(answer.json()["receipt"])["outcome"] == "stored"
        eventually(lambda: bool(kvitto.rows("SELECT * FROM reporting.canaries")), "a canary")
        for words in (["sandbox", "send", "kompar", "--applications", "1"], ["health", "worker"], ["check"], ["audit"]):
            done = subprocess.run(
                [*kvitto_program(), "--data", str(data), *words],
                env=bare_environment() | FOREIGN,
                cwd=trap,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (words, done.stdout, done.stderr)
        log = (data / "logs" / "worker-kompar.log").read_text()
        assert "fallback_sweep_started" not in log  # a wake-up came, and it was the worker's
    assert not (tmp_path / "it-was-run").exists()


def kvitto_program() -> list[str]:
    """Return the installed program, as a user types it."""
    return [str(Path(sys.executable).parent / "kvitto")]


@pytest.mark.parametrize("name", ["PYTHONPATH", "HTTP_PROXY"])
def test_a_single_process_drops_them_too(name: str, trap: Path, tmp_path: Path) -> None:
    value = str(trap) if name == "PYTHONPATH" else f"http://{NOWHERE}"
    for package in ("app", "config", "workers"):  # PYTHONPATH finds these before any code of ours runs
        for path in (trap / package).iterdir():
            path.unlink()
        (trap / package).rmdir()
    (trap / "sitecustomize.py").unlink()
    (trap / "json.py").unlink()
    done = subprocess.run(
        [*kvitto_program(), "check", "beat"],
        env=bare_environment() | {name: value, "REDIS_URL": f"redis://{NOWHERE}/0"},
        cwd=trap,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr  # no Redis is there: so it got as far as asking
    assert not (tmp_path / "it-was-run").exists()


@contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that notes the first line of each request and closes; its URL and those lines."""
    lines: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as request:
                lines.append(request.readline().strip())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", lines
        listener.shutdown(socket.SHUT_RDWR)


def test_a_providers_api_is_asked_through_the_proxy_and_our_own_addresses_are_not(kvitto: Running) -> None:
    api = {"SOLARIS_API_URL": "https://api.example.test", "SOLARIS_AUTH_URL": "https://auth.example.test"}
    login = {"PROVIDERS": "solaris", "SOLARIS_CLIENT_ID": "id", "SOLARIS_CLIENT_SECRET": "s" * 20}
    with proxy() as (url, lines):
        for words in (["subscriptions", "list"], ["sandbox", "send", "solaris"]):
            subprocess.run(
                command("--data", str(kvitto.data), *words),
                env=bare_environment() | api | login | {"HTTPS_PROXY": url, "HTTP_PROXY": url},
                capture_output=True,
                check=False,
            )
    assert set(lines) == {b"CONNECT auth.example.test:443 HTTP/1.1"}


def test_several_that_start_at_once_get_ports_of_their_own(tmp_path: Path) -> None:
    environment = bare_environment() | SECRETS
    with ExitStack() as stack:
        started = []
        for number in range(2):
            line = command("--data", str(tmp_path / str(number)), "up")
            log = stack.enter_context((tmp_path / f"{number}.log").open("wb"))
            process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
            started.append(stack.enter_context(process))
            stack.callback(process.terminate)
        ports = []
        for number, process in enumerate(started):
            assert process.stdout is not None
            words = process.stdout.readline().split()
            assert words[:2] == ["kvitto", "ready"], (tmp_path / f"{number}.log").read_text()
            ports += [address.rpartition(":")[2] for address in words[2:4]]
        assert len(set(ports)) == 4


@pytest.mark.parametrize("name", ["ingest", "console"])
def test_of_two_servers_that_are_to_have_one_port_the_second_is_refused(name: str, kvitto: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        bind = f"127.0.0.1:{found.getsockname()[1]}"
    environment = bare_environment() | kvitto.environment | {"INGEST_BIND": bind, "CONSOLE_BIND": bind}
    line = command("--data", str(kvitto.data), name)
    started = [subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    with started[0], started[1]:
        eventually(lambda: any(process.poll() is not None for process in started), "one of them refused")
        (refused,) = [process for process in started if process.poll() is not None]
        for process in started:
            process.terminate()
        assert refused.returncode == 78
        assert refused.stderr is not None
        assert f"{name.upper()}_BIND: cannot be bound" in refused.stderr.read()


def test_help_imports_no_command() -> None:
    code = """
import sys
sys.argv = ["kvitto", "--help"]
from app.cli.__main__ import main
try:
    main()
except SystemExit:
    libraries = ("app.cli.", "redis", "celery", "psycopg", "flask", "rich")
    print(*[name for name in sys.modules if name.startswith(libraries)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (*listed, loaded) = done.stdout.splitlines()
    assert set(loaded.split()) <= {"app.cli.__main__", "app.cli.main", "app.cli.local_settings"}
    shown = {words[0]: " ".join(words[1:]) for line in listed if (words := line.split()) and words[0] in COMMANDS}
    assert shown == {name: text for name, (_, text) in COMMANDS.items()}
