"""Whatever is delivered, no national id, name, key or token is found where it does not belong."""

import base64
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from app.domain.national_ids import organisation_number
from app.sandbox import fake_kompar
from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import SECRETS, Running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.providers.provider_fixtures import names, side
from tests.support.servers import eventually

SAMPLES = [sample for name in names() for sample in side(name).samples()]
SEED = 11
APPLICANTS = 12
ODD = {"application_id": "odd", "holders": {"19811218-9876": 1}, "19811218-9876": "a key", "amount": "19811218-9876"}
# Where a name belongs: in current state, in its column, and in the events that it came with.
_NAMES_BELONG = {("kompar_applications", "name"), ("kompar_decisions", "extra"), ("events", "content")}


@pytest.fixture(scope="module")
def written(kvitto: Running) -> tuple[Path, dict[str, dict[str, str]]]:
    """A data folder into which all samples, the sandbox's people and worse were delivered; and its tables as text."""
    for sample in SAMPLES:
        kvitto.client.post(sample.path, content=sample.body, headers=sample.headers)
    kvitto.post("applications", encrypt(ODD, KEY))
    kvitto.post("applications", encrypt({"application_id": "odder", "ssn": {"19811218-9876": []}}, KEY)[:-9])
    kvitto.post("applications", "x", token="wrong-" + SECRETS["KOMPAR_TOKENS"].split(",")[0])
    sent = kvitto.run("sandbox", "send", "kompar", "--applications", str(APPLICANTS), "--seed", str(SEED))
    assert sent.returncode == 0, sent.stderr
    last = kvitto.post("decisions", encrypt({"application_id": "last", "accepted": True}, KEY)).json()["receipt"]
    kvitto.outcome(last)
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "everything processed")
    kvitto.run("dead-letters", "replay", "--all")
    kvitto.run("explain", last)
    tables = _tables(kvitto)
    with psycopg.connect(kvitto.database, autocommit=True) as connection:
        connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")  # everything is on disk
    return kvitto.data, tables


def _tables(kvitto: Running) -> dict[str, dict[str, str]]:
    """Return the text of every column of every table, bytes left out: they are sealed."""
    columns = kvitto.rows(
        """
        SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables
        USING (table_schema, table_name)
        WHERE table_schema = 'kvitto' AND table_type = 'BASE TABLE' AND data_type <> 'bytea'
        """
    )
    found: dict[str, dict[str, str]] = {}
    for row in columns:
        table, column = row["table_name"], row["column_name"]
        (text,) = kvitto.rows(f"SELECT string_agg({column}::text, ' ') AS it FROM kvitto.{table}")
        found.setdefault(table, {})[column] = text["it"] or ""
    return found


def _documents() -> list[Any]:
    random = Random(SEED)
    made = [fake_kompar.application(random) for _ in range(APPLICANTS)]
    return [sample.expect.get("content", {}) for sample in SAMPLES] + made + [ODD | {"ssn": "19811218-9876"}]


def _national_ids(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner, item in value.items():
            yield from _national_ids(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _national_ids(item, key)
    elif key in ("ssn", "personal_id", "personnummer") or (
        key == "company_id" and organisation_number(str(value)) is None
    ):
        digits = re.sub(r"\D", "", str(value))
        if len(digits) in (10, 12):
            yield from {digits[-10:], f"{digits[-10:-4]}-{digits[-4:]}", f"{digits[-10:-4]}+{digits[-4:]}"}


def _files_with(data: Path, texts: Iterable[str]) -> set[Path]:
    """Return the files that hold one of these texts; grep looks for all of them at once."""
    options = ("--fixed-strings", "--file=-", "--exclude-dir=secrets", "--exclude=environment.json", "--no-messages")
    line = ["grep", "--recursive", "--text", "--files-with-matches", *options, "."]
    done = subprocess.run(
        line, cwd=data, env={"LC_ALL": "C"}, input="\n".join(texts).encode(), capture_output=True, check=False
    )
    return {Path(name) for name in done.stdout.decode().splitlines()}


def _files(data: Path) -> Iterator[tuple[Path, bytes]]:
    for path in data.rglob("*"):
        if path.is_file() and path.parent.name != "secrets" and path.name != "environment.json":
            with suppress(FileNotFoundError):  # a server has removed it meanwhile
                yield path.relative_to(data), path.read_bytes()


def test_no_national_id_is_on_disk(written: tuple[Path, dict[str, dict[str, str]]]) -> None:
    data, tables = written
    ids = {number for document in _documents() for number in _national_ids(document)}
    assert len(ids) > 20
    assert _files_with(data, ids) == set()
    for table, columns in tables.items():
        assert {column for column, text in columns.items() if any(number in text for number in ids)} == set(), table


def test_the_search_finds_what_is_there(written: tuple[Path, dict[str, dict[str, str]]]) -> None:
    data, tables = written
    assert {path.parts[0] for path in _files_with(data, ["811218-****"])} == {"postgres"}
    assert "811218-****" in tables["events"]["content"]
    everywhere = {"postgres", "valkey", "logs"}
    assert {path.parts[0] for path in _files_with(data, ["no such text", "applications", '"event"'])} >= everywhere
    assert {path.parts[0] for path, content in _files(data) if b"applications" in content} >= {"postgres", "valkey"}


def test_no_applicants_name_is_outside_its_column(written: tuple[Path, dict[str, dict[str, str]]]) -> None:
    data, tables = written
    found = {document["name"] for document in _documents() if isinstance(document.get("name"), str)}
    applicants = {name for name in found if len(name) > 8}
    assert len(applicants) >= 10
    assert any(name in tables["kompar_applications"]["name"] for name in applicants)
    for table, columns in tables.items():
        reported = {(table, column) for column, text in columns.items() if any(name in text for name in applicants)}
        assert reported <= _NAMES_BELONG
    spelled = {form for name in applicants for form in (name, json.dumps(name)[1:-1])}
    holding = _files_with(data, spelled)
    assert {path.parts[0] for path in holding} == {"postgres"}
    assert not [path for path in holding if "log" in path.name]


def test_no_key_or_token_is_on_disk(written: tuple[Path, dict[str, dict[str, str]]]) -> None:
    data, _ = written
    values = list(SECRETS.values()) + [path.read_text().strip() for path in (data / "secrets").iterdir()]
    secrets = {part.rpartition("=")[2] if "=" in part[:-2] else part for value in values for part in value.split(",")}
    secrets = {part.split("=", 1)[-1] if part.count("=") and not part.endswith("=") else part for part in secrets}
    forms = {secret.strip().encode() for secret in secrets if len(secret) >= 8}
    forms |= {base64.b64decode(form) for form in forms if re.fullmatch(rb"[A-Za-z0-9+/]{43}=", form)}
    assert len(forms) >= 8
    for path, content in _files(data):
        assert not [form for form in forms if form in content], path
