"""The structure holds: layers, what the edge can reach, and that everything sent is taken."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.inbox import wakeup
from config.celery import schedule
from tests.chaos.test_safeguards import SAFEGUARDS
from tests.support.servers import bare_environment
from workers import tasks

ROOT = Path(__file__).parents[3]
SOURCES = [path for folder in ("app", "workers", "config") for path in (ROOT / folder).rglob("*.py")]


def test_imports_point_inward() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_supported_versions_of_python_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    first, end = map(int, re.findall(r"^>=3\.(\d+),<3\.(\d+)$", project["project"]["requires-python"])[0])
    listed = [item.rpartition(" ")[2] for item in project["project"]["classifiers"] if "Python ::" in item]
    assert listed == [f"3.{minor}" for minor in range(first, end)]
    assert project["tool"]["ruff"]["target-version"] == f"py3{first}"
    assert f"--python-version {listed[0]} " in (ROOT / "Makefile").read_text()
    assert f"Python {listed[0]} to {listed[-1]}" in (ROOT / "README.md").read_text()


def test_an_import_that_no_dependency_declares_is_reported(tmp_path: Path) -> None:
    """`make check` runs deptry on the project; here it looks at one module that breaks the rule."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "module.py").write_text("import vine\n")  # Celery depends on it, Kvitto does not
    line = [f"{Path(sys.executable).parent}/deptry", "app", "--no-ansi", "--ignore", "DEP002"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "app/module.py:1:8: DEP003 'vine'" in done.stderr


def test_the_edge_loads_nothing_that_opens_or_stores() -> None:
    code = """
import os, sys
os.environ |= {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
os.environ |= {"SEALING_KEYS": "a=" + "A" * 43 + "="}
os.environ |= {"KOMPAR_TOKENS": "t" * 16, "SOLARIS_SECRETS": "T=" + "s" * 16}
from app.ingest.rsgi import create
create()
banned = ("marshmallow", "stdnum", "app.domain.json_content", "app.domain.masking", "app.providers.schema",
          "app.domain.event", "app.domain.national_ids",
          "app.domain.revisions", "app.crypto.digests", "opentelemetry.sdk", "app.tracing.otlp")
openers = [name for name in sys.modules if name.startswith("app.providers.") and name.count(".") == 3]
stores = [name for name in sys.modules if name.startswith("app.storage.")]
known = {"app.storage.answers", "app.storage.connection", "app.storage.primary", "app.storage.overflow",
         "app.storage.pool", "app.storage.usability", "app.storage.privileges", "app.storage.credentials",
         "app.storage.high_water_marks", "app.storage.fallbacks", "app.storage.rejected"}
print([name for name in banned if name in sys.modules] + [name for name in openers if "authentication" not in name]
      + [name for name in stores if name not in known])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=bare_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_task_that_is_sent_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")  # Celery reads its settings at first use
    defined = {task.name for task in (tasks.drain, tasks.sweep, tasks.audit, tasks.retain, tasks.silence)}
    scheduled = {entry["task"] for entry in schedule(("kompar",)).values()}
    assert defined == scheduled | {wakeup.TASK}


def test_a_providers_name_stands_in_its_own_folder_only() -> None:
    """Beside its folder: the sandbox that plays it, and the default of PROVIDERS."""
    allowed = ("app/providers/", "app/sandbox/", "config/declarations.py")
    names = [path.parent.name for path in (ROOT / "app" / "providers").glob("*/authentication.py")]
    assert names
    found = set()
    for path in SOURCES:
        code = re.sub(r'epilog="[^"]*"|#.*|"""(?s:.*?)"""', "", path.read_text())
        if any(name in code.lower() for name in names):
            found.add(str(path.relative_to(ROOT)))
    assert {path for path in found if not path.startswith(allowed)} == set()


def test_modules_are_small_and_say_what_they_are() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert text.startswith('"""'), path
        assert text.count("\n") < 320, path


def test_each_package_has_unit_tests() -> None:
    packages = {path.parent.name for path in (ROOT / "app").glob("*/__init__.py")}
    tested = {path.parent.name for path in (ROOT / "tests" / "unit").glob("*/test_*.py")}
    assert packages - tested == set()


def test_nothing_names_this_machine_or_a_registry() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    words = re.compile(r"--index-url|--extra-index|pypi\.org/simple|files\.pythonhosted|" + re.escape(str(ROOT)))
    hits = [name for name in files if words.search((ROOT / name).read_text(errors="ignore"))]
    assert [name for name in hits if name != os.path.relpath(__file__, ROOT)] == []


def test_every_safeguard_is_found_where_the_suite_removes_it() -> None:
    for name, safeguard in SAFEGUARDS.items():
        assert (ROOT / safeguard.file).read_text().count(safeguard.code) == 1, name
        file, _, test = safeguard.test.partition("::")
        assert f"def {test}(" in (ROOT / file).read_text(), name
