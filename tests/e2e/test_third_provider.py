"""The guide to adding a provider, followed to the letter in a copy of the project: no other file is touched."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.kvitto_process import Running, command, running
from tests.support.servers import bare_environment

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "app" / "providers" / "README.md").read_text()
FILES = dict(re.findall(r"^`([\w/.]+\.(?:py|sql))`\n\n```\w+\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the guide's files, and nothing else, added."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("app", "workers", "config", "tests", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name)  # with what is compiled, which costs seconds
        else:
            shutil.copy(source, copy / name)
    assert len(FILES) == 6
    for path, text in FILES.items():
        assert not (copy / path).exists()
        (copy / path).parent.mkdir(exist_ok=True)
        (copy / path).write_text(text)
    return copy


def run(project: Path, *command: str) -> None:
    """Run a tool in the copy, which stands before the project itself."""
    done = subprocess.run(
        command,
        cwd=project,
        env=bare_environment() | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def test_import_contracts_hold_without_an_edit(project: Path) -> None:
    run(project, tool("lint-imports"), "--no-cache")


def test_types_check(project: Path) -> None:
    run(
        project,
        tool("mypy"),
        "-p",
        "app.providers.acme",
        "-m",
        "tests.support.providers.acme_fixtures",
        "--no-incremental",
    )


def test_contract_tests_pass(project: Path) -> None:
    run(project, sys.executable, "-m", "pytest", "-q", "-k", "acme", "tests/unit/providers/test_contract.py")


@pytest.fixture(scope="module")
def acme() -> ModuleType:
    """Its side: the signer that Standard Webhooks publishes."""
    module = ModuleType("acme_fixtures")
    exec(compile(FILES["tests/support/providers/acme_fixtures.py"], "acme_fixtures.py", "exec"), module.__dict__)  # noqa: S102 - the guide's own
    return module


@pytest.fixture(scope="module")
def kvitto(project: Path, acme: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    environment = acme.SIDE.environment | {"PROVIDERS": "acme", "PYTHONPATH": str(project)}
    with running(tmp_path_factory.mktemp("acme") / "data", environment, project=project) as found:
        yield found


def test_deliveries_reach_the_projection(kvitto: Running, acme: ModuleType) -> None:
    sent = [
        acme.request("new", {"order": "o-1", "total": 1200}, "msg_a"),
        acme.request("again", {"order": "o-1", "total": 1200}, "msg_a"),
        acme.request("changed", {"order": "o-1", "total": 900, "gift": True}, "msg_b"),
    ]
    outcomes = []
    for sample in sent:
        answer = kvitto.client.post(sample.path, content=sample.body, headers=sample.headers)
        assert answer.status_code == 200
        outcomes.append(kvitto.outcome(answer.json()["receipt"])["outcome"])
    assert outcomes == ["stored", "duplicate", "stored"]
    (row,) = kvitto.rows("SELECT * FROM reporting.acme_orders")
    assert (row["order"], row["total"], row["extra"], row["revision"]) == ("o-1", 900, {"gift": True}, 2)


def test_shell_example_of_the_guide_works(kvitto: Running, acme: ModuleType, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    *sending, asking = block.replace("http://127.0.0.1:8080", kvitto.ingest).splitlines()
    secret = tmp_path / ".kvitto" / "secrets" / "ACME_SECRETS"
    secret.parent.mkdir(parents=True)
    secret.write_text(acme.SECRET)
    line = ["bash", "-c", "\n".join(sending)]
    done = subprocess.run(line, cwd=tmp_path, env=bare_environment(), capture_output=True, text=True, check=True)
    assert kvitto.outcome(json.loads(done.stdout)["receipt"])["outcome"] == "stored"
    assert "my-first" in kvitto.run(*shlex.split(asking)[1:]).stdout


def test_subscriptions_register_without_an_api_says_so(kvitto: Running, project: Path) -> None:
    done = subprocess.run(
        command("subscriptions", "register", "acme", "orders"),
        cwd=project,
        env=bare_environment() | {"DATABASE_URL": kvitto.database},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "acme has no API for subscriptions" in done.stderr) == (1, True), done.stderr


def test_changed_requests_are_rejected(kvitto: Running, acme: ModuleType) -> None:
    before = kvitto.entries("acme")
    good = acme.request("good", {"order": "o-2"}, "msg_c")
    tampered = [
        replace(good, body=good.body.replace(b"o-2", b"o-3")),
        replace(good, headers=good.headers | {"Webhook-Id": "msg_d"}),
        replace(good, headers=good.headers | {"Webhook-Timestamp": "1"}),
        *acme.SIDE.forged(),
    ]
    for sample in tampered:
        answer = kvitto.client.post(sample.path, content=sample.body, headers=sample.headers)
        assert answer.status_code == 401
    assert kvitto.entries("acme") == before
