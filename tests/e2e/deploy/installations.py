"""Environments in which Kvitto is installed, and all its processes run from one as docker-compose.yml runs them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import psycopg
from dockerfile_parse import DockerfileParser

from app.sandbox.kompar import encrypt
from tests.e2e.deploy import production
from tests.e2e.deploy.composition import PROCESSES, SERVICES, environment_of
from tests.e2e.deploy.load import HEADERS, PATH
from tests.e2e.deploy.unprivileged import GID, UID, unprivileged
from tests.support.kvitto_process import ROOT
from tests.support.ports import free_port
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually, status_of

# Installing dozens of packages, or starting processes whose modules are not compiled yet, on a machine that is busy.
_SECONDS = 180.0
_TARGET = "/opt/kvitto"
_RUNTIME = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.runtime.lock").read_text(), re.MULTILINE)
_IMPORTED = re.compile(r"^import time:[\s\d]+\|[\s\d]+\|\s+(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment with Kvitto in it, and what its processes find in theirs."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def programs(self) -> Path:
        """The folder of its programs."""
        return self.folder / "bin"

    @property
    def python(self) -> str:
        """Its interpreter."""
        return f"{self.programs}/python"


def instructions(*names: str, stage: int | None = None) -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions of these kinds, with their values; of one stage, or of all."""
    structure: list[dict[str, Any]] = DockerfileParser(path=str(ROOT / "Dockerfile")).structure
    found, number = [], -1
    for item in structure:
        number += item["instruction"] == "FROM"
        if item["instruction"] in names and stage in (None, number):
            found.append((item["instruction"], item["value"]))
    return found


def build_image(folder: Path) -> Installation:
    """Run the Dockerfile's first stage in `folder`/build, on this Python; install into `folder`/kvitto."""
    tools = folder / "tools"
    venv.create(tools, with_pip=True)
    return _build(folder, tools / "bin", instructions("COPY", "RUN", stage=0))


def link_image(folder: Path) -> Installation:
    """Make in `folder`/kvitto what the image holds, without a download.

    The packages of the runtime lock are this environment's. The Dockerfile's last step adds the project, and leaves its
    wheel in `folder`/build/dist.
    """
    target = folder / "kvitto"
    venv.create(target, with_pip=False)
    (site,) = (target / "lib").glob("python*/site-packages")
    entries = list(runtime_entries())
    how = "--link" if os.stat(sys.prefix).st_dev == folder.stat().st_dev else "--reflink=auto"
    subprocess.run(["cp", "--archive", how, *entries, site], check=True)
    steps = instructions("COPY", "RUN", stage=0)
    last = max(number for number, (kind, _) in enumerate(steps) if kind == "RUN")
    return _build(folder, Path(sys.prefix, "bin"), [step for step in steps if step[0] == "COPY"] + [steps[last]])


def runtime_entries(without: str = "") -> Iterator[Path]:
    """Yield the files and folders of this environment that the packages of the runtime lock consist of, but for one.

    The lock also lists packages for other systems and other versions of Python.
    """
    here = Path(sysconfig.get_path("platlib"))
    installed = {each.name.lower().replace("_", "-") for each in metadata.distributions()}
    names = {
        entry
        for package in {*_RUNTIME} & installed - {without}
        for file in metadata.files(package) or ()
        if (entry := file.parts[0]) not in ("..", "__pycache__")
    }
    yield from (here / name for name in sorted(names))


def _build(folder: Path, tools: Path, steps: list[tuple[str, str]]) -> Installation:
    """Take steps of the Dockerfile in `folder`/build, with pip from `tools`; return `folder`/kvitto."""
    build, target = folder / "build", folder / "kvitto"
    build.mkdir()
    for kind, value in steps:
        if kind == "COPY":
            _copy(build, *value.split())
        else:
            path = {"PATH": f"{tools}:{os.environ['PATH']}"}
            _run(["sh", "-ec", value.replace(_TARGET, str(target))], build, path)
    (_, settings), *_ = instructions("ENV", stage=1)
    words = shlex.split(settings.replace(_TARGET, str(target)).replace("$PATH", os.defpath))
    return Installation(target, dict(word.split("=", 1) for word in words))


def install(folder: Path, requirement: str) -> Installation:
    """Install a requirement with its dependencies into an environment, made unless it is there: no lock, no options."""
    if not folder.exists():
        venv.create(folder, with_pip=False)
    _run([sys.executable, "-m", "pip", "--python", f"{folder}/bin/python", "install", requirement], folder)
    return Installation(folder, {"PATH": f"{folder}/bin:{os.defpath}"})


@contextmanager
def open_folder(name: str) -> Iterator[Path]:
    """Make a folder that every user may enter, which pytest's own are not; remove it after the block."""
    with tempfile.TemporaryDirectory(prefix=f"kvitto-{name}-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


def _copy(build: Path, *words: str) -> None:
    *sources, target = words
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, build / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (build / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, build / target)


def _run(line: list[str], folder: Path, more: Mapping[str, str] = {}) -> None:
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | dict(more)
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def own(path: Path) -> Path:
    """Make a folder that the image's user alone may use; return it."""
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(path, UID, GID)
    return path


def empty(path: Path) -> Path:
    """Make an empty folder in which nobody may write; return it."""
    path.mkdir(mode=0o555)
    return path


@dataclass(slots=True)
class Production:
    """Kvitto's processes, their logs, and where they and their servers answer."""

    ingest: str
    console: str
    database: str
    redis: str
    secrets: Path
    logs: Path
    environments: dict[str, dict[str, str]]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def is_well(self, name: str, **more: str) -> bool:
        """Run a process's health check as an engine does: in its environment, as its user."""
        line = [*unprivileged(), *SERVICES[name]["healthcheck"]["test"][1:]]
        environment = self.environments[name] | more
        done = subprocess.run(line, env=environment, cwd="/", capture_output=True, check=False, timeout=_SECONDS)
        return done.returncode == 0

    def log(self, name: str) -> str:
        """Return what a process has written, without the list of its imports."""
        return "\n".join(line for line in self._text(name).splitlines() if not line.startswith("import time:"))

    def imported(self, name: str) -> set[str]:
        """Return the modules that a process has tried to import."""
        return set(_IMPORTED.findall(self._text(name)))

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that the processes do; one that ends instead is a failure."""

        def look() -> bool:
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)}"
            return condition()

        eventually(look, what, _SECONDS)

    def rows(self, query: str, *parameters: str) -> list[Any]:
        """Query the ledger."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(query, parameters).fetchall()

    def stop(self) -> dict[str, int]:
        """Stop all processes as an engine does; return their exit statuses."""
        for process in self.processes.values():
            process.terminate()
        return {name: process.wait(_SECONDS) for name, process in self.processes.items()}

    def _text(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")


@contextmanager
def running(installation: Installation, folder: Path) -> Iterator[Production]:
    """Migrate, then run one process of each kind: each with its service's settings, secrets and command, and no other.

    They run as the image's user, in an empty folder, and write to their folder for temporary files.
    """
    secrets, nowhere = production.make_all_secrets(folder), empty(folder / "empty")
    ingest, console = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    here = {
        "INGEST_BIND": ingest, "CONSOLE_BIND": console, "INGEST_URL": f"http://{ingest}",
    }  # fmt: skip
    basis = {**installation.environment, "HOME": "/", "TMPDIR": str(own(folder / "tmp"))}

    def start(name: str) -> subprocess.Popen[bytes]:
        line = [*unprivileged(), f"{installation.programs}/kvitto", *SERVICES[name]["command"]]
        environment = found.environments[name] | {"PYTHONPROFILEIMPORTTIME": "1"}
        with (folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                line, env=environment, cwd=nowhere, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    with (
        production.redis(folder, secrets) as redis,
        production.postgres(folder, secrets) as database,
        ExitStack() as ending,
    ):
        environments = {
            name: basis | environment_of(SERVICES[name], secrets, **here, METRICS_BIND=f"127.0.0.1:{free_port()}")
            for name in ("migrate", *PROCESSES)
        }
        found = Production(f"http://{ingest}", f"http://{console}", database, redis, secrets, folder, environments)
        with start("migrate") as migrate:
            assert migrate.wait(_SECONDS) == 0, found.log("migrate")
        for name in PROCESSES:
            found.processes[name] = ending.enter_context(start(name))
            ending.callback(found.processes[name].terminate)
        yield found


def deliver(ingest: str, application_id: str, client: httpx.Client | None = None) -> str:
    """Deliver a Kompar application; return its receipt."""
    body = encrypt({"application_id": application_id}, KEY)
    answer = (client or httpx).post(f"{ingest}{PATH}", content=body, headers=HEADERS, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["receipt"])


def use(found: Production) -> None:
    """Deliver, find the row, await a canary of each provider and the console."""
    found.wait(lambda: status_of(f"{found.ingest}/readyz") == 200, "ingest ready")
    receipt = deliver(found.ingest, "installed")
    stored = "SELECT FROM reporting.deliveries WHERE receipt = %s AND outcome = 'stored'"
    found.wait(lambda: bool(found.rows(stored, receipt)), f"receipt {receipt} in the ledger")
    assert len(found.rows("SELECT FROM reporting.kompar_applications WHERE application_id = 'installed'")) == 1
    found.wait(lambda: len(found.rows("SELECT FROM reporting.canaries")) == 2, "a canary of each provider")
    found.wait(lambda: status_of(f"{found.console}/readyz") == 200, "console ready")


def stop(found: Production) -> None:
    """Stop every process; each must end with 0, and have found all that it imports."""
    assert found.stop() == dict.fromkeys(PROCESSES, 0)
    for name in ("migrate", *PROCESSES):
        assert not re.search("ModuleNotFoundError|ImportError|Traceback", found.log(name)), found.log(name)
