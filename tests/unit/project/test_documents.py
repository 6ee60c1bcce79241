"""What the documents name exists, their links lead somewhere, and their English is plain."""

import ast
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from app.domain import masking
from app.process_settings import READERS
from config.environment import Environment
from config.settings import AuditSettings, LedgerSettings, ResealSettings
from config.variables import SETTINGS

ROOT = Path(__file__).parents[3]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
NAMES = ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG", "RELEASING", "app/sandbox/README", "app/providers/README")
PAGES = [*(ROOT / f"{name}.md" for name in NAMES), *DOCS]
SOURCES = {path: path.read_text() for name in ("app", "workers", "config") for path in (ROOT / name).rglob("*.py")}
CODE = "".join(SOURCES.values())
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
DATA_MODEL = (ROOT / "docs" / "data-model.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()
# A check greps for these as whole words; the glossary has the standard terms.
FORBIDDEN = {
    "told",
    "tell",
    "tells",
    "mend",
    "anew",
    "whoever",
    "heed",
    "settle",
    "settles",
    "settled",
    "befall",
    "besides",
}
# Names in capitals that are no settings: placeholders, a provider's event type, variables of compose, tests and others.
NO_SETTINGS = {"NAME_FILE", "DATA_FOLDER", "EVENT_TYPE", "INCOMING_REJECTED_TRANSACTION", "FLASK_DEBUG"}
NO_SETTINGS |= {"KVITTO_VERSION", "KVITTO_EXTRAS", "KVITTO_MODEL_EXAMPLES", "KVITTO_DASHBOARD_EVENTS"}
NO_SETTINGS |= {"ACME_SECRETS_FILE", "SSL_CERT_FILE"}


def ids(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#{1,6} (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r'(?:src|srcset|href)="([^"]+)"', text)


def leads_nowhere(page: Path, link: str) -> bool:
    path, _, anchor = unquote(link).partition("#")
    target = (page.parent / path).resolve() if path else page
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_and_anchors_exist(page: Path) -> None:
    local = [link for link in links(page) if not re.match(r"https?:", link)]
    assert [link for link in local if leads_nowhere(page, link)] == []


def test_pages_link_to_each_other() -> None:
    assert sum(len(list(links(page))) for page in PAGES) > 80
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)}
    linked |= {folder / "README.md" for folder in linked if folder.is_dir()}
    assert [page.name for page in DOCS if page not in linked] == []


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_files_that_are_named_exist(page: Path) -> None:
    paths = re.findall(r"`((?:app|workers|config|tests|deploy|docs|benchmarks)/[\w./-]*)`", page.read_text())
    named = [path for path in paths if not re.search("NAME|NNNN|deploy/secrets|acme", path)]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_pages_that_the_code_names_exist() -> None:
    named = {page for text in SOURCES.values() for page in re.findall(r"\b(docs/[\w/.-]+\.md)\b", text)}
    assert named
    assert [page for page in named if not (ROOT / page).exists()] == []


def test_terms_of_the_glossary_are_unique() -> None:
    terms = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert [term for term, count in Counter(terms).items() if count > 1 and term not in {"term", "---"}] == []


def test_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    shown = (ROOT / "docs" / "architecture.md").read_text().split("```\n")
    assert "\n".join(layers).replace("|", "│") + "\n" in shown


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_english_is_plain(page: Path) -> None:
    words = re.findall(r"[a-z]+", page.read_text().lower())
    assert sorted(FORBIDDEN.intersection(words)) == []


def test_english_of_the_code_is_plain() -> None:
    # To settle a message is OpenTelemetry's term for acknowledging it.
    found = {
        (str(path.relative_to(ROOT)), word)
        for path, text in SOURCES.items()
        if path.parent.name != "tracing"
        for word in FORBIDDEN.intersection(re.findall(r"[a-z]+", text.lower()))
    }
    assert sorted(found) == []


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_lines_are_short(page: Path) -> None:
    if page.name == "configuration.md":
        return  # written by a program
    # A table and a picture take one line each; code has its own rule.
    blocks = re.compile(r"^( *)```(?!sh$).*?^\1```$", re.DOTALL | re.MULTILINE)
    text = blocks.sub("", page.read_text())
    lines = [line for line in text.splitlines() if not line.startswith(("|", "!["))]
    assert [line for line in lines if len(line) > 100] == []


@cache
def names_read() -> frozenset[str]:
    """Return every name that a process or a command reads from its environment, NAME_FILE included."""
    environment = Environment({})
    more = (settings.read for settings in (AuditSettings, LedgerSettings, ResealSettings))
    for read in (*READERS.values(), *more):
        read(environment)
    return frozenset(environment.names_read)


def settings_read() -> set[str]:
    return {
        name for name in names_read() if not (name.endswith("_FILE") and name.removesuffix("_FILE") in names_read())
    }


def secrets() -> set[str]:
    """Return the settings that hold a secret: those that a file may hold, but for addresses, names and roles."""
    from_files = {name for name in settings_read() if f"{name}_FILE" in names_read()}
    return {name for name in from_files if not name.endswith(("_URL", "_ISSUER", "_USERNAME", "_CLIENT_ID", "_ROLES"))}


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_settings_that_are_named_exist(page: Path) -> None:
    named = {name for text in re.findall(r"`([^`\n]+)`", page.read_text()) for name in capitals(text)}
    known = settings_read() | SETTINGS
    assert sorted(name for name in named if not {name, name.removesuffix("_FILE")} & known) == []


def capitals(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Z][A-Z]+(?:_[A-Z]+)+\b", text)) - NO_SETTINGS


def test_every_setting_is_in_the_configuration() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert len(settings_read()) > 25
    assert sorted(name for name in settings_read() if f"`{name}`" not in text) == []


def test_every_secret_has_its_rotation() -> None:
    assert len(secrets()) > 8
    for text in (SECURITY, OPERATIONS):
        rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
        assert sorted(name for name in secrets() if not any(f"`{name}`" in row for row in rows)) == []


def test_keys_that_the_security_page_names_are_masked_by_their_meaning() -> None:
    section = SECURITY.partition("**National ids**")[2].partition("\n\n**")[0]
    masked = re.findall(r"`([a-z_]+)`", section.partition("stays")[0])
    assert {"ssn", "personal_id", "personnummer", "company_id"} <= set(masked)
    assert [key for key in masked if masking.mask({key: "101010-12345"}) != {key: "****"}] == []


def test_reasons_and_flags_are_those_of_the_code() -> None:
    from app.errors import REASONS  # noqa: PLC0415 - beside what it is compared with

    for text, heading in ((DATA_MODEL, "## Reasons of dead letters"), (OPERATIONS, "### Dead letters")):
        assert first_cells(text, heading) == set(REASONS)
    for flag in first_cells(DATA_MODEL, "## Flags"):
        assert f'"{flag}"' in CODE or f'"{flag.replace("-FIELD", "-{key}")}"' in CODE


def first_cells(text: str, heading: str) -> set[str]:
    """Return the names in the first column of the table below a heading."""
    section = text.partition(f"{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table, heading
    return {name for line in table[0].splitlines()[2:] for name in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_log_events_are_those_of_the_code() -> None:
    assert first_cells(OPERATIONS, "### Log events") == {event for text in SOURCES.values() for event in logged(text)}


def logged(source: str) -> Iterator[str]:
    """Yield the events that a module logs: the first argument of every call of its logger."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="logger")), args=[ast.Constant(value=str(event)), *_]):
                yield event


def test_reasons_of_answers_are_those_of_the_code() -> None:
    section = OPERATIONS.partition("### What ingest answers\n")[2].partition("\n### ")[0]
    named = {
        name for line in section.splitlines() for name in re.findall(r"`([a-z-]+)`", line.rpartition("meaning")[2])
    }
    reasons = {name for name in named if "-" in name or name in ("busy", "internal", "unresponsive")}
    # The slug of an HTTP error is made of its name.
    assert sorted(name for name in reasons - {"not-found"} if f'"{name}"' not in CODE) == []


def test_decisions_are_numbered_and_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path for path in folder.glob("[0-9]*.md"))
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text())
    assert [path.name for path in records] == listed
    assert [int(name[:4]) for name in listed] == list(range(1, len(listed) + 1))
    for record in records:
        headings = re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], record.name


def test_glossary_is_sorted() -> None:
    rows = (ROOT / "docs" / "glossary.md").read_text().splitlines()
    terms = [line.split("|")[1].strip() for line in rows if line.startswith("| ")][2:]
    assert len(terms) > 40
    assert terms == sorted(terms, key=str.lower)


def test_continuous_integration_runs_what_ci_runs() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    targets = re.findall(r"^make (install|check|test)\b", script, re.MULTILINE)
    assert targets == ["install", "check", "test"]
    assert re.findall(r"run: make (install|check|test)\b", workflow)[:3] == targets
    supported = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert re.findall(r'"(3\.\d+)"', workflow.partition("python: [")[2].partition("]")[0]) == supported
    assert not re.search(r"secrets\.|password|token:", workflow)
    suites = re.findall(r"suite: \[(.+)\]", workflow)[0].split(", ")
    for suite in suites:
        subprocess.run(["make", suite, "--dry-run"], cwd=ROOT, check=True, capture_output=True)
