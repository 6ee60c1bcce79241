"""`kvitto explain`: step by step, and without a secret."""

import json
from pathlib import Path

import pytest

from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import Running
from tests.support.providers.kompar_fixtures import KEY, TOKEN
from tests.support.providers.provider_fixtures import Sample, names, side
from tests.support.providers.solaris_fixtures import request


def steps(kvitto: Running, *arguments: str) -> dict[str, str]:
    done = kvitto.run("explain", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    for name in names():
        assert not [secret for secret in side(name).secrets if secret in done.stdout]
    return {step["step"]: step["finding"] for step in json.loads(done.stdout)}


def save(tmp_path: Path, sample: Sample) -> str:
    file = tmp_path / "saved.http"
    head = "".join(f"{name}: {value}\r\n" for name, value in sample.headers.items())
    file.write_bytes(f"POST {sample.path} HTTP/1.1\r\n{head}\r\n".encode() + sample.body)
    return str(file)


def deliver(kvitto: Running, document: dict[str, object]) -> str:
    receipt = str(kvitto.post("applications", encrypt(document, KEY)).json()["receipt"])
    kvitto.outcome(receipt)
    return receipt


def test_explain_of_receipts_compares_revisions(kvitto: Running) -> None:
    document: dict[str, object] = {"application_id": "explained", "amount": 1, "ssn": "19811218-9876"}
    first, again, changed = (deliver(kvitto, document | more) for more in ({}, {}, {"amount": 2, "purpose": "Båt"}))
    found = steps(kvitto, first)
    assert found["open"].startswith("opened with key sample; keys: application_id, amount, ssn")
    assert found["history"] == "the first of its entity"
    assert found["outcome"] == "stored as revision 1"
    assert steps(kvitto, again)["history"] == f"adds nothing to revision 1, receipt {first}"
    assert steps(kvitto, again)["outcome"] == "duplicate"
    found = steps(kvitto, changed)
    assert found["validation"] == "valid; flags: purpose: unknown-purpose"
    assert found["history"] == f"differs from revision 1, receipt {first}, in: amount, purpose"
    assert found["outcome"] == "stored as revision 2, flagged unknown-purpose"
    assert "9876" not in str(found)


def test_explain_of_a_dead_letter(kvitto: Running) -> None:
    receipt = str(kvitto.post("applications", b"hello").json()["receipt"])
    kvitto.outcome(receipt)
    found = steps(kvitto, receipt)
    assert found["ledger"] == "dead, not-json"
    assert found["now"] == "a replay would do this:"
    assert found["outcome"].startswith("dead: not-json")


def test_explain_compares_a_notification_with_those_of_its_own_id(kvitto: Running) -> None:
    receipts = []
    for webhook_id in ("wh-e1", "wh-e2", "wh-e1"):
        sample = request("a", {"id": "explained", "status": "offered"}, id=webhook_id)
        receipts.append(kvitto.client.post(sample.path, content=sample.body, headers=sample.headers).json()["receipt"])
        kvitto.outcome(receipts[-1])
    assert steps(kvitto, receipts[1])["history"].startswith(
        f"differs from revision 1, receipt {receipts[0]}, by its id"
    )
    assert steps(kvitto, receipts[2])["history"] == f"adds nothing to revision 1, receipt {receipts[0]}"


@pytest.mark.parametrize(
    "line", ["GET /webhooks/kompar/decisions", "POST /nowhere/kompar/decisions", "POST /webhooks/a/b/c"]
)
def test_explain_rejects_a_request_that_the_edge_does_not_route(kvitto: Running, tmp_path: Path, line: str) -> None:
    file = tmp_path / "saved.http"
    file.write_text(f"{line} HTTP/1.1\r\n\r\n{{}}")
    assert kvitto.run("explain", "--request", str(file)).returncode == 1


def test_explain_of_an_unknown_receipt_fails(kvitto: Running) -> None:
    done = kvitto.run("explain", "00000000-0000-0000-0000-000000000000")
    assert done.returncode == 1
    assert "no receipt" in done.stderr


def test_explain_of_a_saved_request_stores_nothing(kvitto: Running, tmp_path: Path) -> None:
    body = encrypt({"application_id": "never-sent"}, KEY)
    sample = Sample("saved", "/webhooks/kompar/applications", {"Authorization": f"token {TOKEN}"}, body)
    found = steps(kvitto, "--request", save(tmp_path, sample))
    assert found["authentication"] == "token 2 of 2 matched; it covers nothing: the token alone"
    assert found["outcome"] == "stored as revision 1"
    assert kvitto.rows("SELECT * FROM reporting.deliveries WHERE entity_id = 'never-sent'") == []


def test_explain_of_a_signed_request(kvitto: Running, tmp_path: Path) -> None:
    found = steps(kvitto, "--request", save(tmp_path, request("a", {"id": "x", "status": "odd"}, id="wh-x")))
    assert found["authentication"].startswith("secret 1 of 2 for FREELANCER_CREDIT_LINE_APPLICATION matched; it covers")
    assert found["identity"].endswith("recognised by its id, wh-x")
    assert found["outcome"] == "stored as revision 1, flagged unknown-status"


@pytest.mark.parametrize("sample", side("solaris").forged()[:2], ids=lambda sample: sample.name)
def test_explain_of_a_forged_request(kvitto: Running, tmp_path: Path, sample: Sample) -> None:
    found = steps(kvitto, "--request", save(tmp_path, sample))
    assert found["authentication"].startswith("rejected: wrong-signature")
    assert found["outcome"] == "401: nothing is stored"


def test_explain_of_a_handshake(kvitto: Running, tmp_path: Path) -> None:
    headers = {"Solaris-Webhook-Event-Type": "WEBHOOK-SUBSCRIPTION"}
    found = steps(kvitto, "--request", save(tmp_path, Sample("h", "/webhooks/solaris", headers, b"")))
    assert found["outcome"] == "200: nothing is stored"


def test_explain_rejects_a_file_that_is_no_request(kvitto: Running, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("hello")
    done = kvitto.run("explain", "--request", str(file))
    assert done.returncode == 1
    assert "the first line must be like" in done.stderr
